"""The viewer of a capture or a result: scene, region, and a button that reconstructs again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box, oriented_box
from mvgamba_ros.geometry.rays import axes_intersection
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.types import Box, View
from mvgamba_ros.viewer.region_gizmo import RegionGizmo
from mvgamba_ros.viewer.shown_scene import Shape, ShownScene

if TYPE_CHECKING:
    import viser

MISSING = "mvgamba view needs the package viser: pip install 'mvgamba_ros[viewer]'"
GROWN = 1.4
"""A region around a known object is this many times its box."""
GUESSED_SHARE = 0.25
"""Of the cameras' distance: the side of the first region where nothing is known."""


def start_server(host: str, port: int) -> viser.ViserServer:
    """Raises MISSING_PACKAGE."""
    try:
        import viser
    except ImportError as error:
        raise ReconstructionError(ErrorCode.MISSING_PACKAGE, MISSING) from error
    return viser.ViserServer(host, port, label="mvgamba", verbose=False)


class ViewPage:
    """What one server shows. ``views`` may be empty where a result came without them: then nothing is reconstructed."""

    def __init__(self, server: viser.ViserServer, views: Sequence[View], shape: Shape, options: Options) -> None:
        self._views, self._options = list(views), options
        self._busy, self._stop = threading.Lock(), threading.Event()
        self.result: Reconstruction | None = None
        box = self._first_region(shape)
        origin = box.T_world_box[:3, 3].copy()
        self.scene = ShownScene(server, origin)
        self.region = RegionGizmo(server, origin, box, options.prompts.roi is not None)
        reach = 1.6 * float(np.linalg.norm(box.size))
        if shape.mesh is None:  # the cameras are all there is to see
            reach = max(float(np.linalg.norm(view.T_world_camera[:3, 3] - origin)) for view in self._views)
        server.initial_camera.position = (reach, -reach, 0.7 * reach)
        server.initial_camera.look_at = (0.0, 0.0, 0.0)
        with server.gui.add_folder("Reconstruction"):
            self._button: Any = server.gui.add_button("Reconstruct", disabled=not views)
            self._cancel: Any = server.gui.add_button("Stop", visible=False)
            self._bar: Any = server.gui.add_progress_bar(0.0, visible=False)
            self._words: Any = server.gui.add_markdown("" if views else "No views: give the capture, too.")
        self._button.on_click(lambda _: self.reconstruct())
        self._cancel.on_click(lambda _: self._stop.set())
        self.scene.show_views(self._views)
        self.scene.show(shape)

    def _first_region(self, shape: Shape) -> Box:
        if self._options.prompts.roi is not None:
            return self._options.prompts.roi
        if shape.mesh is not None:
            box = oriented_box(shape.mesh)
            return replace(box, size=GROWN * box.size)
        if not self._views:
            raise ReconstructionError(ErrorCode.BAD_CAPTURE, "neither views nor a mesh to show")
        poses = [view.T_world_camera for view in self._views]
        middle = axes_intersection([T[:3, 3] for T in poses], [T[:3, 2] for T in poses])
        if middle is None:
            middle = poses[0][:3, 3] + 0.5 * poses[0][:3, 2]
        half = 0.5 * GUESSED_SHARE * float(np.mean([np.linalg.norm(T[:3, 3] - middle) for T in poses]))
        return axis_parallel_box(middle - half, middle + half)

    def reconstruct(self) -> None:
        """With the region as it stands; a call while one is at work does nothing."""
        if not self._busy.acquire(blocking=False):
            return
        self._stop.clear()
        self._button.disabled, self._cancel.visible, self._bar.visible = True, True, True
        try:
            prompts = replace(self._options.prompts, roi=self.region.box)
            options = replace(self._options, prompts=prompts)
            self.result = reconstruct(self._views, options, self._progress, self._stop.is_set)
        except ReconstructionError as error:
            self._words.content = f"**{error.code.name}**: {error.message}"
        else:
            made = self.result
            self.scene.show(Shape(made.mesh, made.cloud, made.gaussians, made.texture, made.masks))
            self._words.content = words(made)
        finally:
            self._button.disabled, self._cancel.visible, self._bar.visible = False, False, False
            self._busy.release()

    def _progress(self, stage: str, fraction: float) -> None:
        self._bar.value = 100.0 * fraction
        self._words.content = stage


def words(result: Reconstruction) -> str:
    """The result in a few lines of Markdown."""
    size = " × ".join(f"{1e3 * side:.1f}" for side in result.box.size)
    quality = result.quality
    lines = [
        f"**{'LOW QUALITY' if quality.low else 'Good'}**, {size} mm",
        f"expected error {quality.expected_error_mm:.1f} mm, {quality.coverage:.0%} seen, "
        f"{sum(result.seconds.values()):.1f} s",
        *(f"- {line}" for line in (*quality.reasons, *result.notes)),
    ]
    return "\n\n".join(lines)
