"""What a reconstructor is.

A reconstructor is registered under a name (`mvgamba_ros.registry`, kind ``methods``) by its factory, a class or
function ``factory(options: Options) -> Method``. The factory may read ``method``, ``checkpoint``, ``device`` and
``config`` of the options, everything else there is at its default; it loads weights, and raises BAD_CHECKPOINT,
MISSING_PACKAGE or BAD_OPTION where it cannot. What it makes is kept and called once a reconstruction
(`mvgamba_ros.factories.load_method`), always from one thread at a time.

It may have an attribute ``provenance``, a mapping of str to str: which weights it runs, and where. The pipeline puts it
into ``Reconstruction.settings`` and so into report.json; `mvgamba_ros.io.weights.identify_checkpoint` makes the entries
of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.options import Options
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.types import Cancelled, Gaussians, Mesh, Progress, View


@dataclass(frozen=True)
class Shape:
    """The result of a method, in the world frame, metres.

    ``mesh``: closed, oriented outward, at most ``options.max_faces`` triangles. Its ``colors`` matter only where no
    view sees the surface: the pipeline paints the rest from the images. ``gaussians``: None for a method without.
    ``depths``: the depth maps with sigmas that the mesh was fused from, which tell how sure it is; none for a method
    without. ``reasons``: why the shape should not be trusted, in words; the result is low where there are any.
    ``notes``: what was assumed on the way, in words, for the result's.
    """

    mesh: Mesh
    gaussians: Gaussians | None = None
    depths: tuple[DepthMaps, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Method(Protocol):
    """A reconstructor, ready to run."""

    name: str
    """What results are labelled with: the name it is registered under."""

    def __call__(
        self, views: Sequence[View], hull: DistanceField, options: Options, progress: Progress, cancelled: Cancelled
    ) -> Shape:
        """The shape of the object.

        Args:
            views: At least one, undistorted (``camera.distortion_model`` "none"), each with a ``mask`` (H, W) bool
                that is not empty, and ``T_world_camera`` (4, 4) rigid, of OpenCV optical frames, metres.
            hull: The visual hull of the masks: signed distances on a grid in the world frame, positive inside; cut
                off at ``options.prompts.roi`` and below the support plane.
            options: Those of the request; ``options.prompts.support_height`` is the height in use, given or
                estimated, or None.
            progress: Called as ``progress(stage, fraction)``, the fraction of this method's own work in [0, 1].
            cancelled: Polled between heavy steps with `mvgamba_ros.errors.stop_if`.

        Returns:
            The mesh, and Gaussians where the method makes them, in the frame and unit of ``views``.

        Raises:
            ReconstructionError: CANCELLED, EMPTY_SURFACE, TOO_MANY_VIEWS and whatever code names the cause. Any other
                exception, and a result that is not of this contract, is reported as a fault of the package that brings
                the method.
        """
        ...
