"""Objects for measuring what context across views is worth: rendered ones, and captures with scanned truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.evaluation.captures import find_captures
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.metrics.shape import surface_points
from mvgamba_ros.rendering.crops import crop_image, crop_intrinsics, silhouette_window
from mvgamba_ros.synthesis.data_format import DEPTH_UNIT, INPUT_VIEWS
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.pose_sampling import CameraRig
from mvgamba_ros.synthesis.ray_scene import RayScene
from mvgamba_ros.synthesis.shards import DataRecipe, Shards, missing_shards, write_shards
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import Camera, View

Item = dict[str, NDArray[Any]]
"""One object as `Shards` gives it."""

SIDE = 192
"""Side of a capture's pictures, cut to the object, pixels."""
MARGIN = 1.3
"""Side of such a cut over the silhouette's; training crops reach to 1.4."""
GREY = 170


class PlainProcedural(Procedural):
    """The same objects without texture or colour: shape, light and shadow are all that a picture shows."""

    def __getitem__(self, index: int) -> TexturedMesh:
        mesh = super().__getitem__(index)
        return replace(mesh, textures=np.full_like(mesh.textures, GREY))


def held_out_recipes(size: int, count: int) -> dict[str, DataRecipe]:
    """Folder name -> ``count`` objects that are never trained on, pictures of ``size`` pixels: ``held`` from a wrist
    camera, ``plain`` the same ones without texture, ``rings`` on rings, about half of them level, of eight views."""
    rig = CameraRig(views=INPUT_VIEWS, size=size)
    shard = min(32, count)
    return {
        "held": DataRecipe(seed=62, count=count, per_shard=shard, rig=rig),
        "plain": DataRecipe(seed=62, count=count, per_shard=shard, rig=rig),
        "rings": DataRecipe(seed=63, count=count, per_shard=shard, rig=replace(rig, rings=1.0)),
    }


def training_recipe(size: int, objects: int, part: int) -> DataRecipe:
    """Part ``part`` of what is trained on: ``objects`` from a wrist camera, a third of them from rings."""
    rig = CameraRig(views=INPUT_VIEWS, size=size, rings=0.35)
    return DataRecipe(seed=100 + part, count=objects, per_shard=min(128, objects), rig=rig)


def render(root: Path, wanted: dict[str, DataRecipe], log: Callable[[str], None] = print) -> None:
    """Fill ``root``/<name> by each recipe of ``wanted``; what is there stays. Raises BAD_OPTION for a folder that
    was rendered by another recipe."""
    for name, recipe in wanted.items():
        source = (PlainProcedural if name == "plain" else Procedural)(recipe.seed, recipe.count)
        if missing_shards(root / name, recipe):
            write_shards(root / name, source, recipe, log=log)


def held_out_items(folder: Path, count: int) -> list[Item]:
    """The first ``count`` objects of a rendered folder, those on a ring only where they stand on one of eight."""
    shards = Shards(folder)
    on_rings = json.loads((folder / "manifest.json").read_text())["recipe"]["rig"].get("rings", 0) == 1
    found: list[Item] = []
    for index in range(len(shards)):
        item = shards[index]
        if len(found) < count and (not on_rings or int(item["ring"]) == 8):
            found.append(item)
    return found


def capture_items(root: Path) -> list[Item]:
    """Every capture below ``root`` that has a scan and masks, as an item. Raises BAD_CAPTURE where there is none."""
    scanned = [folder for folder in find_captures(root) if (folder / "truth.ply").is_file()]
    if not scanned:
        raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{root}: no capture with a scan (truth.ply) here")
    return [capture_item(folder) for folder in scanned]


def capture_item(folder: Path) -> Item:
    """A capture with its scan: pictures cut to the object, depths of the scan along their rays; ``ring`` is the number
    of its views, which stand around the object."""
    many = "transforms_8.json" if (folder / "transforms_8.json").is_file() else "transforms.json"
    views = read_capture(folder, many)
    mesh = read_mesh(folder / "truth.ply")
    rays = RayScene(mesh.vertices, mesh.faces)
    cut = [_cut(view, rays, mesh.vertices) for view in views]
    points = surface_points(mesh, 4096)
    stacked = {name: np.stack([one[name] for one in cut]) for name in cut[0]}
    on_table = abs(mesh.vertices[:, 2].min()) < 0.01
    return {
        **stacked,
        "points": points.astype(np.float32),
        "normals": np.zeros_like(points, np.float16),
        "support_height": np.float32(0.0 if on_table else np.nan),
        "ring": np.uint8(len(views)),
        "family": np.array(folder.name),
    }


def _cut(view: View, rays: RayScene, vertices: NDArray[np.float64]) -> Item:
    """One view's arrays, as `synthesis.render.render` names them."""
    if view.mask is None:
        raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{view.name}: no mask; captures need true ones here")
    window = silhouette_window(view.mask, MARGIN)
    crop = crop_image(view.image, view.mask, window, SIDE)
    K = crop_intrinsics(view.camera.K, window, SIDE)
    front, back = depths(rays, Camera(K, SIDE, SIDE), view.T_world_camera, vertices)
    return {
        "rgb": np.rint(255 * crop[:3].transpose(1, 2, 0)).astype(np.uint8),
        "alpha": np.rint(255 * crop[3]).astype(np.uint8),
        "depth_front": front,
        "depth_back": back,
        "K": K.astype(np.float32),
        "T_world_camera": view.T_world_camera.astype(np.float32),
    }


def depths(
    rays: RayScene, camera: Camera, T_world_camera: NDArray[np.float64], vertices: NDArray[np.float64]
) -> Sequence[NDArray[np.uint16]]:
    """z-depth of the first and of the last surface along each pixel centre's ray, (H, W) in `DEPTH_UNIT`, 0 for a
    miss."""
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    in_camera = np.stack([u, v, np.ones_like(u)], -1).reshape(-1, 3) @ np.linalg.inv(camera.K).T
    direction = (in_camera @ T_world_camera[:3, :3].T).astype(np.float32)
    eye = T_world_camera[:3, 3].astype(np.float32)
    far = np.float32(2 * np.linalg.norm(vertices - eye, axis=1).max())
    front = rays.cast(np.broadcast_to(eye, direction.shape), direction)[0]
    hit = np.isfinite(front)
    back = far - rays.cast(eye + direction * far, -direction)[0]
    both = np.where(hit, np.stack([front, np.maximum(back, front)]), 0)
    both = np.nan_to_num(both, posinf=0, neginf=0)
    return np.rint(both / DEPTH_UNIT).astype(np.uint16).reshape(2, camera.height, camera.width)
