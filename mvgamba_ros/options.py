"""Options of one reconstruction, checked when they are set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.bounds import check_bounds
from mvgamba_ros.config.rows import check_choices, check_types, option, rows
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.registry import BUILT_IN, REFUSED_GENERATORS, available
from mvgamba_ros.types import Prompts

OWN_GUESS = "network"
"""The choice of no generator: what no view saw is the reconstructor's own guess."""


@dataclass(frozen=True)
class Options:
    """Options of `mvgamba_ros.reconstruct`.

    Each `option` is a flag of the commands and a parameter of the node too, with the same name, default and range.
    The other fields hold for one call.

    Args:
        prompts: Where the object is.
        use_masks: Keep the silhouettes of views that bring one and segment only the others. With the segmenter
            "masks" every view must bring one.
        config: The numbers of every stage, see `mvgamba_ros.config`.

    Raises:
        ReconstructionError: BAD_OPTION for a value out of its range or not among its choices, which it names.

    Example:
        >>> from mvgamba_ros import Options, Prompts
        >>> options = Options(max_faces=2000, convex_hull=True, prompts=Prompts(support_height=0.0))
        >>> options.method, options.segmenter
        ('mvgamba', 'classical')
    """

    method: str = option(
        "mvgamba", "Reconstructor", choices=tuple(BUILT_IN["methods"]), extended_by=lambda: available("methods")
    )
    segmenter: str = option(
        "classical",
        "Finds the object in the images; masks: takes the silhouettes that come with them",
        choices=tuple(BUILT_IN["segmenters"]),
        extended_by=lambda: available("segmenters"),
    )
    use_masks: bool = False
    prompts: Prompts = field(default_factory=Prompts)
    refine: bool = option(
        True, "Lay Gaussians on the mesh and fit them to the views: better pictures of new views, the mesh unchanged"
    )
    max_faces: int = option(
        5000, "Faces of the mesh at most; planners slow down far above 5000", low=16, high=1_000_000
    )
    convex_hull: bool = option(False, "Replace the mesh by its convex hull")
    refine_poses: str = option(
        "auto",
        "Check the camera poses against the pictures and correct them; 'off', quoted in YAML: take them as they are",
        choices=("auto", "off"),
    )
    seen_only: bool = option(
        False, "Leave out the faces and points that no view saw; the mesh is then open, and goes not with convex_hull"
    )
    min_views: int = option(
        1, "Fewest views a reconstruction is made from; below quality.min_places its quality is low", low=1, high=64
    )
    generator: str = option(
        "network",
        "Makes up what no view saw; network: the reconstructor alone does",
        choices=(OWN_GUESS, *BUILT_IN["generators"]),
        extended_by=lambda: (OWN_GUESS, *available("generators")),
        refused=REFUSED_GENERATORS,
    )
    complete: str = option(
        "few",
        "When the generator is called: few: for views from less than quality.min_places places; always; or 'off', "
        "quoted in YAML; with generator network it makes no difference",
        choices=("few", "always", "off"),
    )
    generator_weights: str = option(
        "",
        "Folder of the generator's weights, or owner/name@commit of a repository in this machine's Hugging Face cache; "
        "empty: the ones that are pinned",
        read_only=True,
    )
    generator_fetch: bool = option(False, "Download weights of the generator that are missing", read_only=True)
    generator_seed: int = option(1, "Seed of what the generator draws: one seed, one shape", low=1, high=2**31 - 1)
    cloud_points: int = option(20_000, "Points of the cloud", low=100, high=5_000_000)
    texture: int = option(
        0, "Side of the mesh's texture at most, pixels, for textured OBJ and GLB files; 0: none", low=0, high=8192
    )
    origin: str = option(
        "world",
        "Frame of the textured files; box: the object's box, its axes along the sides",
        choices=("world", "box"),
    )
    hull_resolution: int = option(
        128,
        "Voxels along the object's longest side; up to hull.max_refinement times as many where it is long or flat",
        low=16,
        high=512,
    )
    checkpoint: str = option("", "File of the method's weights; empty: the ones that ship", read_only=True)
    sam_checkpoint: str = option(
        "",
        "Weights for segmenter sam: a file of Segment Anything's (ViT-B, L or H), or a folder of its or of Segment "
        "Anything 2's in transformers' layout",
        read_only=True,
    )
    device: str = option(
        "auto",
        "Where networks run: cpu, cuda or cuda:N; auto: the GPU where torch sees one and it works",
    )
    precision: str = option(
        "auto",
        "Of the products in method mvgamba's network; auto: bfloat16 where the device has it; float16: on a GPU only",
        choices=("auto", "float32", "bfloat16", "float16"),
        read_only=True,
    )
    gpu_memory: float = option(
        1.0,
        "Share of the GPU's memory that this process may take, where several share one",
        low=0.01,
        high=1,
        read_only=True,
    )
    config: ReconstructionConfig = field(default_factory=ReconstructionConfig)

    def __post_init__(self) -> None:
        for name, kind in (("use_masks", bool), ("prompts", Prompts), ("config", ReconstructionConfig)):
            if not isinstance(getattr(self, name), kind):
                raise ReconstructionError(
                    ErrorCode.BAD_OPTION,
                    f"{name} {getattr(self, name)!r} must be a {kind.__name__}: leave it out for the default",
                )
        check_types(self)
        check_choices(self)
        check_bounds(self)
        if self.seen_only and self.convex_hull:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                "seen_only True leaves the mesh open and convex_hull True closes it: set one of them to False",
            )

    def to_dict(self) -> dict[str, Any]:
        """All that was chosen as plain JSON values: ``options`` and ``config``."""
        chosen = {row.name: getattr(self, row.name) for row in rows(self)}
        return {
            "options": {**chosen, "use_masks": self.use_masks, "prompts": _prompts_to_dict(self.prompts)},
            "config": asdict(self.config),
        }


def _prompts_to_dict(prompts: Prompts) -> Mapping[str, Any]:
    """Metres, pixels, (4, 4) row by row; views by index."""
    roi = prompts.roi
    return {
        "roi": None if roi is None else {"T_world_box": roi.T_world_box.tolist(), "size_m": roi.size.tolist()},
        "pixel_boxes": {view: [float(x) for x in box] for view, box in prompts.pixel_boxes.items()},
        "points": {view: np.asarray(points).tolist() for view, points in prompts.points.items()},
        "support_height_m": None if prompts.support_height is None else float(prompts.support_height),
    }
