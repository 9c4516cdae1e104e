"""The region of interest, moved and sized by hand in a viser scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mvgamba_ros.types import F64, Box

if TYPE_CHECKING:
    import viser

COLOR = (245, 130, 20)
SMALLEST = 0.005
"""Metres: a side of the region at least."""


class RegionGizmo:
    """An upright box in the scene around ``origin`` (3,): arrows move and turn it, numbers size it; a switch says
    whether it counts."""

    def __init__(self, server: viser.ViserServer, origin: F64, box: Box, used: bool) -> None:
        self._server, self._origin = server, origin
        size = np.maximum(box.size, SMALLEST)
        turn = float(np.arctan2(box.T_world_box[1, 0], box.T_world_box[0, 0]))
        with server.gui.add_folder("Region"):
            self._used: Any = server.gui.add_checkbox("use the region", initial_value=used)
            self._size: Any = server.gui.add_vector3(
                "size, mm", tuple(np.round(1e3 * size, 1)), min=(1e3 * SMALLEST,) * 3, step=1.0
            )
        self._handle: Any = server.scene.add_transform_controls(
            "/region",
            scale=float(size.max()) * 0.7,
            active_axes=(True, True, True),
            position=box.T_world_box[:3, 3] - origin,
            wxyz=(float(np.cos(turn / 2)), 0.0, 0.0, float(np.sin(turn / 2))),
            rotation_limits=((0.0, 0.0), (0.0, 0.0), (-1000.0, 1000.0)),
            visible=used,
        )
        self._draw()
        self._size.on_update(lambda _: self._draw())
        self._used.on_update(lambda _: self._show())

    @property
    def box(self) -> Box | None:
        """In the world's frame; None where it does not count."""
        if not self._used.value:
            return None
        w, _, _, z = self._handle.wxyz
        turn = 2.0 * float(np.arctan2(z, w))
        T = np.eye(4)
        T[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        T[:3, 3] = np.asarray(self._handle.position, np.float64) + self._origin
        return Box(T, 1e-3 * np.asarray(self._size.value, np.float64))

    def _show(self) -> None:
        self._handle.visible = bool(self._used.value)

    def _draw(self) -> None:
        size = 1e-3 * np.asarray(self._size.value, np.float64)
        self._server.scene.add_box("/region/box", COLOR, tuple(size), opacity=0.15, cast_shadow=False)
        self._server.scene.add_box("/region/edges", COLOR, tuple(size), wireframe=True, cast_shadow=False)
