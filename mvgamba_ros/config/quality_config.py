"""When a reconstruction is called low."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class QualityConfig:
    """When a reconstruction is called low."""

    min_places: int = bounded(3, 1, 64)
    """Views from fewer different places make it low: the far side and the depth are guesses. Set by hand."""
    min_silhouette_iou: float = bounded(0.85, 0.0, 1.0)
    """A lower mean IoU of masks and the re-rendered mesh makes it low, [0, 1]. Set by hand."""
    max_color_error: float = bounded(0.15, 0.0, 1.0)
    """A higher mean absolute colour difference inside the masks makes it low, [0, 1]. Set by hand."""
    min_view_angle: float = bounded(30.0, 0.0, 180.0)
    """A smaller largest angle between two views, seen from the object, makes it low, degrees. Set by hand."""
    contrast_distance: float = bounded(3.0, 1.0, 50.0)
    """Colours inside and outside of an outline are taken this far from it, pixels: beyond the edge's own blur. Set by
    hand."""
    min_contrast: float = bounded(12.0, 0.0, 255.0)
    """An outline is faint where no channel changes by more than this across it, grey levels. Set by hand: twice the
    noise of an ordinary camera."""
