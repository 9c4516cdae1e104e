"""A segmenter that knows where the two ellipsoids of `rendered.pair_views` stand, and labels one as depth shows it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rendered

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.types import Bool, Box, Cancelled, Progress, Prompts, View


class TwoReds:
    """What is red and, by depth, in the region of interest; without one, either could be meant."""

    name = "two-reds"

    @classmethod
    def from_options(cls, options: Options) -> TwoReds:
        return cls()

    def __call__(
        self,
        views: Sequence[View],
        prompts: Prompts,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Silhouettes:
        if prompts.roi is None:
            raise ReconstructionError(ErrorCode.AMBIGUOUS, "two things could be meant", rendered.regions())
        return Silhouettes([_inside(view, prompts.roi) for view in views], 0.0)

    def find_objects(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None = None) -> list[Box]:
        return rendered.regions() if any(_red(view).any() for view in views) else []


def installed(site: Path) -> str:
    """Makes ``site`` a folder with a package that brings the segmenter ``two-reds``; a PYTHONPATH that finds it."""
    metadata = site / "two_reds_package-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: two-reds-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[mvgamba_ros.segmenters]\ntwo-reds = two_reds:TwoReds.from_options\n")
    return os.pathsep.join(filter(None, [str(site), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))


def _red(view: View) -> Bool:
    red, green = view.image[..., 0].astype(int), view.image[..., 1].astype(int)
    return red > 2 * green


def _inside(view: View, region: Box) -> Bool:
    assert view.depth is not None
    origin, directions = rays(view.camera, view.T_world_camera)
    along = view.depth / (directions @ view.T_world_camera[:3, 2])
    points = transform(inverse(region.T_world_box), (origin + along[..., None] * directions).reshape(-1, 3))
    inside = (np.abs(points) <= region.size / 2.0).all(axis=1).reshape(view.depth.shape)
    return inside & _red(view)
