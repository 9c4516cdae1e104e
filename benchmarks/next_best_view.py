"""Suggested next views against random ones: share of the surface seen, and chamfer distance, on procedural objects.

usage: python -m benchmarks.next_best_view [--objects 24] [--seed 7] [--more 2] [--random 3]

Each object stands on a table and is first photographed from three poses on one side of it, 40 degrees apart, as an arm
that stands before the table sees it. Then `--more` views are added: those that the reconstruction of the three suggests
(`unsure`), those that cover most directions (`uncovered`), or random ones of the same candidates, the mean over
`--random` draws. All are reconstructed with a region and the table's height, masks found. `seen` is the share of the
true outer surface that some view sees at a cosine above 0.1.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.process import prepare_process
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.visibility import point_cosines, visible_cosines
from mvgamba_ros.surface.next_best_view import (
    fitting_distance,
    poses_around,
    reachable,
    views_of_the_uncovered,
    views_of_the_unsure,
)
from mvgamba_ros.surface.sample import sample_cloud
from mvgamba_ros.synthesis.backgrounds import render_views
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.pose_sampling import sample_stable_pose
from mvgamba_ros.synthesis.robot_captures import outer_surface
from mvgamba_ros.synthesis.shading import rotate_normals
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import F64, Camera, Mesh, Prompts, View

CAMERA = Camera(np.array([[450.0, 0.0, 240.0], [0.0, 450.0, 180.0], [0.0, 0.0, 1.0]]), 480, 360)
ELEVATION_DEG = (20.0, 70.0)
SIDES = (0.05, 0.2)
"""Least and greatest longest side of the objects, metres."""


@dataclass(frozen=True)
class Scene:
    """An object that stands on z = 0, its ``truth``, and a ``seed`` that the table and the light follow from."""

    mesh: TexturedMesh
    truth: Mesh
    seed: tuple[int, int]

    def views(self, poses: F64) -> list[View]:
        rng = np.random.default_rng([*self.seed, 1])
        views = render_views(self.mesh, 0.0, [CAMERA] * len(poses), poses, rng)
        return [replace(view, mask=None, depth=None) for view in views]

    def reconstruct(self, poses: F64) -> Reconstruction:
        roi = scaled_box(self.mesh.vertices.min(0), self.mesh.vertices.max(0))
        options = Options(prompts=Prompts(roi=roi, support_height=0.0), refine=False, refine_poses="off")
        return reconstruct(self.views(poses), options)

    def score(self, poses: F64) -> dict[str, float]:
        found = self.reconstruct(poses)
        errors = shape_errors(surface_points(found.mesh), surface_points(self.truth))
        return {"seen": self.seen(poses), "chamfer_mm": errors["chamfer_mm"]}

    def seen(self, poses: F64) -> float:
        """Share of the true outer surface that a camera at one of ``poses`` (N, 4, 4) sees."""
        cloud, caster = sample_cloud(self.truth, 4000), Raycaster(self.truth)
        cosines = []
        for T in poses:
            facing = point_cosines(cloud.points, cloud.normals, T[:3, 3])
            view = View(np.empty((0, 0, 3), np.uint8), CAMERA, T)
            cosines.append(visible_cosines(cloud.points, facing, view, caster, TextureConfig()))
        return float((np.max(cosines, axis=0) > 0).mean())


def scene(seed: int, index: int) -> Scene:
    """The ``index``-th of a ``seed``, always the same."""
    rng = np.random.default_rng([seed, index])
    mesh = Procedural(seed, index + 1)[index]
    vertices = mesh.vertices if mesh.upright else mesh.vertices @ sample_stable_pose(mesh.vertices, rng).T
    mesh = rotate_normals(mesh, vertices)
    side = float(np.ptp(vertices, axis=0).max())
    vertices = vertices * (float(np.clip(side, *SIDES)) / side)
    low, high = vertices.min(0), vertices.max(0)
    mesh = replace(mesh, vertices=vertices - [*(low + high)[:2] / 2, low[2]])
    return Scene(mesh, outer_surface(mesh, rng), (seed, index))


def compare(seed: int, index: int, more: int, draws: int) -> dict[str, dict[str, float]]:
    """The scores of each way to choose ``more`` views, of one object."""
    made = scene(seed, index)
    rng = np.random.default_rng([seed, index, 2])
    centre = made.mesh.vertices.max(0) * [0, 0, 0.5]
    distance = max(
        0.4, 1.2 * fitting_distance(float(np.linalg.norm(made.mesh.vertices - centre, axis=1).max()), CAMERA)
    )
    start = rng.uniform(0, 2 * np.pi)
    first = []
    for turn in (0.0, 40.0, 80.0):
        azimuth, elevation = start + math.radians(turn), math.radians(rng.uniform(25, 50))
        away = [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
        first.append(look_at(centre + distance * np.array(away), centre))
    held = np.array(first)
    before = made.reconstruct(held)
    around = before.box.T_world_box[:3, 3]
    candidates = reachable(poses_around(around, distance, ELEVATION_DEG), around, held, 0.01, 0.0)
    chosen = {
        "unsure": views_of_the_unsure(before, CAMERA, candidates, held[:0], more).T_world_camera,
        "uncovered": views_of_the_uncovered(around, candidates, held, more).T_world_camera,
    }
    scores = {name: made.score(np.concatenate([held, poses])) for name, poses in chosen.items()}
    scores["three"] = made.score(held)
    drawn = [candidates[rng.choice(len(candidates), more, replace=False)] for _ in range(draws)]
    random = [made.score(np.concatenate([held, poses])) for poses in drawn]
    scores["random"] = {name: float(np.mean([score[name] for score in random])) for name in random[0]}
    return scores


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--more", type=int, default=2, help="views added to the three")
    parser.add_argument("--random", type=int, default=3, help="draws of random views")
    args = parser.parse_args(argv)
    prepare_process()
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for index in range(args.objects):
        try:
            scores = compare(args.seed, index, args.more, args.random)
        except ReconstructionError as error:
            print(f"object {index}: {error.code.name}: {error.message}", flush=True)
            continue
        for name, score in scores.items():
            rows[name].append(score)
        print(index, "  ".join(f"{n} {s['seen']:.1%} {s['chamfer_mm']:.2f} mm" for n, s in scores.items()), flush=True)
    for name in ("three", "random", "uncovered", "unsure"):
        seen, chamfer = (np.array([row[key] for row in rows[name]]) for key in ("seen", "chamfer_mm"))
        print(f"{name:10s} seen {seen.mean():.1%}, chamfer {chamfer.mean():.2f} mm, median {np.median(chamfer):.2f} mm")


if __name__ == "__main__":
    main()
