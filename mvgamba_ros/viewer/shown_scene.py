"""Views and a result as objects of a viser scene, and the switches for what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from mvgamba_ros.geometry.se3 import matrix_to_quat
from mvgamba_ros.io.model_files import Y_UP, glb
from mvgamba_ros.preview import OUTLINE, SIGHT, SIGHT_NAMES, colormap, round_up
from mvgamba_ros.types import F32, F64, U8, Bool, Gaussians, Mesh, PointCloud, TextureMap, View

if TYPE_CHECKING:
    import viser

PICTURE_WIDTH = 320
"""Of a camera's picture, pixels."""
FRUSTUM = 0.15
"""Size of a camera, of its distance to the object."""
POINT = 0.004
"""Size of a point, of the object's diagonal."""
COLORINGS = ("texture", "colours", "seen or guessed", "expected error")


@dataclass(frozen=True)
class Shape:
    """What there is of a result: all of it, or what a folder holds."""

    mesh: Mesh | None = None
    cloud: PointCloud | None = None
    gaussians: Gaussians | None = None
    texture: TextureMap | None = None
    masks: tuple[Bool, ...] = ()
    textured: bytes = b""
    """A GLB with its texture, for a result that was read; ``texture`` is then None."""
    T_world_model: F64 = field(default_factory=lambda: np.eye(4))
    """The frame of ``textured``."""


class ShownScene:
    """Everything is shown relative to ``origin`` (3,), as a browser has float32."""

    def __init__(self, server: viser.ViserServer, origin: F64) -> None:
        self._server, self._origin = server, origin
        self._shape = Shape()
        self._diagonal = 0.1
        server.scene.set_up_direction("+z")
        with server.gui.add_folder("Shown"):
            self._coloring: Any = server.gui.add_dropdown("Mesh", COLORINGS, initial_value="colours")
            self._switches: dict[str, Any] = {
                name: server.gui.add_checkbox(name, initial_value=name in ("mesh", "cameras"))
                for name in ("mesh", "cloud", "Gaussians", "cameras", "masks")
            }
            self._legend: Any = server.gui.add_markdown("")
        self._coloring.on_update(lambda _: self._draw_mesh())
        self._views: Sequence[View] = ()
        self._handles: dict[str, list[Any]] = {}
        for name, switch in self._switches.items():
            switch.on_update(lambda _, name=name: self._draw_views() if name == "masks" else self._switch())

    def show_views(self, views: Sequence[View]) -> None:
        """Cameras with their pictures; ``views`` as they were captured."""
        self._views = views
        self._draw_views()

    def show(self, shape: Shape) -> None:
        """``shape`` in place of what was shown."""
        self._shape = shape
        if shape.mesh is not None:
            self._diagonal = float(np.linalg.norm(np.ptp(shape.mesh.vertices, axis=0)))
            self._coloring.value = "texture" if shape.texture is not None or shape.textured else "colours"
        self._draw_mesh()
        self._draw_cloud()
        self._draw_gaussians()
        self._draw_views()
        self._switch()

    def _draw_mesh(self) -> None:
        mesh = self._shape.mesh
        if mesh is None:
            return
        chosen = self._coloring.value
        self._legend.content = ""
        visible = bool(self._switches["mesh"].value)
        if chosen == "texture" and (self._shape.texture is not None or self._shape.textured):
            content = self._shape.textured
            if self._shape.texture is not None:
                content = glb(mesh, self._shape.texture, np.eye(4))
            # the file is y up around its own origin; the scene z up around `origin`
            T = self._shape.T_world_model @ Y_UP.T
            self._handles["mesh"] = [
                self._server.scene.add_glb(
                    "/object/mesh",
                    content,
                    wxyz=matrix_to_quat(T[:3, :3]),
                    position=T[:3, 3] - self._origin,
                    visible=visible,
                    cast_shadow=False,
                )
            ]
            return
        colors = self._colors(mesh, chosen)
        import trimesh

        shape = trimesh.Trimesh(mesh.vertices - self._origin, mesh.faces, vertex_colors=colors, process=False)
        self._handles["mesh"] = [
            self._server.scene.add_mesh_trimesh("/object/mesh", shape, visible=visible, cast_shadow=False)
        ]

    def _colors(self, mesh: Mesh, chosen: str) -> U8:
        if chosen == "seen or guessed" and mesh.seen is not None:
            swatches = [
                f'<span style="color:rgb({r},{g},{b})">&#9632;</span> {name}'
                for (r, g, b), name in zip(SIGHT.tolist(), SIGHT_NAMES, strict=True)
            ]
            self._legend.content = " &nbsp; ".join(swatches)
            return np.asarray(SIGHT[np.minimum(mesh.seen, len(SIGHT) - 1)], np.uint8)
        if chosen == "expected error" and mesh.expected_error_mm is not None:
            top = round_up(float(np.quantile(mesh.expected_error_mm, 0.95)))
            self._legend.content = f"dark: 0, bright: {top:g} or more mm"
            return colormap(mesh.expected_error_mm / top)
        return mesh.colors

    def _draw_cloud(self) -> None:
        if (cloud := self._shape.cloud) is not None:
            points = (cloud.points - self._origin).astype(np.float32)
            size = POINT * self._diagonal
            handle = self._server.scene.add_point_cloud(
                "/object/cloud", points, cloud.colors, point_size=size, precision="float32"
            )
            self._handles["cloud"] = [handle]

    def _draw_gaussians(self) -> None:
        if (gaussians := self._shape.gaussians) is None:
            return
        handle = self._server.scene.add_gaussian_splats(
            "/object/gaussians",
            (gaussians.means.double().numpy() - self._origin).astype(np.float32),
            covariances(gaussians),
            gaussians.colors.numpy().clip(0.0, 1.0),
            gaussians.opacities.numpy()[:, None],
        )
        self._handles["Gaussians"] = [handle]

    def _draw_views(self) -> None:
        cameras = []
        masks = self._shape.masks if self._switches["masks"].value else ()
        for index, view in enumerate(self._views):
            camera, T = view.camera, view.T_world_camera
            picture = view.image
            mask = masks[index] if index < len(masks) else view.mask if self._switches["masks"].value else None
            if mask is not None:
                picture = np.where(mask[..., None], picture, (picture * 0.3 + np.array(OUTLINE) * 0.2)).astype(np.uint8)
            share = min(1.0, PICTURE_WIDTH / camera.width)
            picture = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA).astype(np.uint8)
            distance = float(np.linalg.norm(T[:3, 3] - self._origin))
            handle = self._server.scene.add_camera_frustum(
                f"/cameras/{index}",
                fov=float(2.0 * np.arctan(camera.height / (2.0 * camera.K[1, 1]))),
                aspect=camera.width / camera.height,
                scale=FRUSTUM * max(distance, 1e-3),
                thickness=1.5,
                thickness_units="screen",
                image=picture,
                wxyz=matrix_to_quat(T[:3, :3]),
                position=T[:3, 3] - self._origin,
                visible=bool(self._switches["cameras"].value),
            )
            cameras.append(handle)
        self._handles["cameras"] = cameras

    def _switch(self) -> None:
        for name, handles in self._handles.items():
            for handle in handles:
                handle.visible = bool(self._switches[name].value)


def covariances(gaussians: Gaussians) -> F32:
    """(N, 3, 3): R S S^T R^T of each Gaussian's axes and standard deviations."""
    turned = Rotation.from_quat(gaussians.quats.numpy()[:, [1, 2, 3, 0]]).as_matrix()
    axes = turned * gaussians.scales.numpy()[:, None, :]
    return np.asarray(axes @ axes.transpose(0, 2, 1), np.float32)
