"""How finely the visual hull is carved, and when it is carved again."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class HullConfig:
    """How the visual hull is carved. Its voxels along the longest side are an option, `hull_resolution`."""

    min_camera_distance: float = bounded(0.02, 1e-4, 10)
    """Nothing is reconstructed nearer than this to a camera, metres. Set by hand."""
    cut_reach: float = bounded(0.05, 0.0, 1.0)
    """Where the border of the picture cuts a silhouette, the object may go on so far beyond what the picture shows, of
    the silhouette's longer side. Set by hand: enough to keep the cut itself from rounding off what was seen."""
    occluder_cells: int = bounded(160, 16, 4096)
    """Rays along the longer side of a picture on which other things are sought that may cover the object. Set by
    hand."""
    occluder_samples: int = bounded(24, 4, 256)
    """Samples on each of these rays across the box that holds the object. Set by hand."""
    occluder_reach: float = bounded(2.0, 0.0, 100.0)
    """How far before and behind that box other things are sought, in its own depth. Set by hand."""
    max_refinement: float = bounded(2.0, 1.0, 8.0)
    """A long or flat object gets up to this many times as many voxels along its longest side. Set by hand."""
    flat_share: float = bounded(0.25, 0.0, 1.0)
    """A long or flat object gets more voxels along its longest side as long as its bounding box has no more than this
    share of the voxels of a cube's, [0, 1]. Set by hand."""
    coarse_resolution: int = bounded(32, 16, 128)
    """Voxels along the longest side of the grids that tighten the bounds, and of the hull around which the support
    plane is searched. Set by hand."""
    tightening_rounds: int = bounded(2, 0, 10)
    """Coarse carvings that tighten the bounding box, which the silhouettes' boxes leave too wide. Set by hand."""
    coarse_reach: float = bounded(1.8, 0.9, 10)
    """The surface may pass within this of a coarse voxel's centre, voxels: its diagonal and a little. Set by hand."""
    block: int = bounded(4, 1, 8)
    """The fine grid is filled in blocks of this many voxels a side, and only where the surface may pass. Set by
    hand."""
    block_slack: float = bounded(1.5, 1.0, 10.0)
    """How much faster than a distance the field may change, since distances to a cone are measured across the view
    instead of to its side. Set by hand."""

    # One view (geometry/single_view.py)
    min_depth_share: float = bounded(0.1, 0.0, 1.0)
    """Depth bounds the object of a single view where it is known in more than this share of the mask, [0, 1]. Set by
    hand."""
    front_quantile: float = bounded(0.02, 0.0, 1.0)
    """Quantile of the depths along the view that is taken for the object's front, [0, 1]. Set by hand."""
    hidden_share: float = bounded(0.25, 0.0, 1.0)
    """The object of a single view with depth is as deep as what is seen of it, and this share, [0, 1], of the way from
    there to as deep as it is wide. Set by hand: boxes seen from above show all of their depth, bottles half of it."""
    min_level: float = bounded(1e-3, 0.0, 1.0)
    """A camera looks straight down where its optical axis has a smaller level part. Set by hand."""
    single_view_reach: float = bounded(4.0, 0.1, 100)
    """Extent across the view of the box around the object of a single view, in distances to the camera: the silhouette
    bounds it there. Set by hand."""

    # The box that one silhouette shows (geometry/upright_box.py)
    min_box_iou: float = bounded(0.97, 0.5, 1.0)
    """One colour view's object is a box where one shows its mask with at least this IoU, [0, 1]. Set by hand."""
    box_margin: float = bounded(0.05, 0.0, 1.0)
    """The region around that box is longer than it by this share, on every side half of it. Set by hand."""
    box_side: int = bounded(48, 16, 256)
    """Side of the picture of the mask that boxes are fitted to, pixels; the best is fitted to one twice as large. Set
    by hand."""
    box_blur: float = bounded(0.02, 0.001, 0.2)
    """Sigma of the Gaussian over that picture, shares of its side. Set by hand."""
    box_steps: int = bounded(12, 1, 1000)
    """Evaluations of the fit at most, from each start. Set by hand."""

    # Carving again around what the network found (methods/mvgamba.py)
    recarve_ratio: float = bounded(1.25, 1.0, 100.0)
    """The hull is carved again where it is longer than the found object by more than this factor along any axis. Set by
    hand."""
    recarve_margin: float = bounded(0.1, 0, 10)
    """How far beyond the found object the new hull may reach, of the object's longest side. Set by hand."""
    max_passes: int = bounded(4, 1, 100)
    """Forward passes of the network at most, with a new hull before each but the first. Set by hand."""
