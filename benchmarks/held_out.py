"""Reconstruct held-out procedural objects with their true silhouettes, and score meshes and pictures from elsewhere.

usage: mvgamba data render data/held_out --seed 2 --count 128 --size 256
       python -m benchmarks.held_out data/held_out [--views 4] [--objects 48] [--method hull] [--refine] ...

What settles a choice in the code after the network, where captures of real objects must not. The objects are spread
over the whole folder and their input views are drawn once for all, so two runs, of two states of the code or two
checkpoints, differ by nothing else. Pictures are compared in the stored views past the first eight, which are never
inputs. Roughness is the mean angle between neighbouring faces, by length of edge; normal the median angle between a
mesh's normal and the true one nearby.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.evaluation.captures import mean_scores
from mvgamba_ros.evaluation.novel_view import cut_target, picture_scores, show_gaussians, show_mesh
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.registry import available
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.synthesis.data_format import INPUT_VIEWS
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.types import Camera, Mesh, Prompts, View

COLUMNS = ("chamfer_mm", "F@5mm", "normal_deg", "roughness_deg", "psnr_db", "ssim", "seconds")
NORMALS = 20_000
"""So many normals are compared."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder written by `mvgamba data render`")
    parser.add_argument("--views", type=int, default=4, help="input views of each object, 1 to 8")
    parser.add_argument("--objects", type=int, default=48)
    parser.add_argument("--method", choices=available("methods"), default=Options.method)
    parser.add_argument("--checkpoint", default="", help="weights of mvgamba; those in the package when not given")
    parser.add_argument("--refine", action="store_true")
    args = parser.parse_args(argv)

    options = held_out_options(method=args.method, checkpoint=args.checkpoint, refine=args.refine)
    shards = Shards(args.data)
    count = min(args.objects, len(shards))
    families: dict[str, list[dict[str, float]]] = defaultdict(list)
    print(f"{'':20s}{''.join(f'{name:>15s}' for name in COLUMNS)}")
    for index in np.linspace(0, len(shards) - 1, count).astype(int):
        item = shards[int(index)]
        name = str(item["family"])
        try:
            scores = score(item, options, args.views, int(index))
        except ReconstructionError as error:
            print(f"{name:20s} object {index}: {error.code.name}: {error.message}", flush=True)
            continue
        families[name].append(scores)
    for name, rows in sorted(families.items()):
        report(f"{name} ({len(rows)})", mean_scores(rows))
    everything = [row for rows in families.values() for row in rows]
    if everything:
        report(f"all ({len(everything)} of {count})", mean_scores(everything))


def held_out_options(**changes: Any) -> Options:
    """Options for stored views, with ``changes``: crops are whole pictures, poses are exact, there is no table."""
    crops = ViewsConfig(principal_point_margin=-100.0, resized_tolerance=0.0, min_field_of_view=0.0)
    base = Options(segmenter="masks", refine_poses="off", config=replace(ReconstructionConfig(), views=crops))
    return replace(base, **changes)


def report(name: str, scores: Mapping[str, float]) -> None:
    print(f"{name:20s}{''.join(f'{scores[column]:15.3f}' for column in COLUMNS)}", flush=True)


def score(item: Mapping[str, NDArray[Any]], options: Options, count: int, index: int) -> dict[str, float]:
    """One object of `Shards`, reconstructed from ``count`` of its first views, by name of `COLUMNS`."""
    chosen = np.random.default_rng((7, index)).permutation(INPUT_VIEWS)[:count]
    support = float(item["support_height"])
    prompted = replace(options, prompts=Prompts(support_height=None if np.isnan(support) else support))
    began = time.perf_counter()
    result = reconstruct([as_view(item, i) for i in chosen], prompted)
    scores = {"seconds": time.perf_counter() - began, "roughness_deg": roughness(result.mesh)}
    points, normals = (np.asarray(item[name], np.float64) for name in ("points", "normals"))
    scores |= shape_errors(surface_points(result.mesh), points)
    scores["normal_deg"] = normal_error(result.mesh, points, normals)
    caster = Raycaster(result.mesh)
    pictures = []
    for target in (cut_target(as_view(item, i)) for i in range(INPUT_VIEWS, len(item["rgb"]))):
        shown = show_mesh(caster, target) if result.gaussians is None else show_gaussians(result.gaussians, target)
        pictures.append(picture_scores(*shown, target))
    return scores | mean_scores(pictures)


def as_view(item: Mapping[str, NDArray[Any]], i: int) -> View:
    """A stored view; it is on white, as training sees it, with its true silhouette."""
    height, width = item["alpha"][i].shape
    camera = Camera(np.asarray(item["K"][i], np.float64), width, height)
    pose = np.asarray(item["T_world_camera"][i], np.float64)
    return View(np.ascontiguousarray(item["rgb"][i]), camera, pose, mask=item["alpha"][i] > 127)


def normal_error(mesh: Mesh, points: NDArray[np.float64], normals: NDArray[np.float64]) -> float:
    """Median angle in degrees between the mesh's normals, even over its area, and those of the nearest true points."""
    triangles = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    found, face = trimesh.sample.sample_surface(triangles, NORMALS, seed=0)
    nearest = cKDTree(points).query(found)[1]
    agreement = (triangles.face_normals[face] * normals[nearest]).sum(1)
    return float(np.degrees(np.median(np.arccos(agreement.clip(-1, 1)))))


def roughness(mesh: Mesh) -> float:
    """Mean angle between the faces at an edge, weighted by its length, degrees."""
    triangles = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    ends = triangles.vertices[triangles.face_adjacency_edges]
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    return float(np.degrees(np.average(triangles.face_adjacency_angles, weights=length)))


if __name__ == "__main__":
    main()
