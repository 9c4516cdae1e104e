"""What a caller may choose about a reconstruction, checked as soon as it is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.registry import available
from mvgamba_ros.types import Prompts

METHODS = available("methods")
DEFAULT_METHOD = "mvgamba"
SEGMENTERS = available("segmenters")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Options:
    """Options of `mvgamba_ros.pipeline.reconstruct`. Raises BAD_OPTION, naming value and range.

    ``segmenter``: "masks" takes the silhouettes that the views bring and needs one in each. With ``use_masks`` those
    of views that bring one are kept and only the others are segmented.
    ``refine``: lay the Gaussians on the mesh and fit them to the views, for new views 3.6 dB better
    (MODEL_CARD.md); the mesh stays as it is.
    ``max_faces``: of the mesh; planners slow down far above 5,000. ``convex_hull``: answer the mesh's convex hull.
    ``min_views``: fewer are refused. ``hull_resolution``: voxels along the object's longest side; up to twice as many
    where it is long or flat.
    ``checkpoint``, ``sam_checkpoint``: files of weights; empty means the one that ships, or none.
    ``device``: where the network runs; "auto" is the GPU where torch sees one and mamba-ssm is installed, else the CPU.
    ``config``: the numbers of every stage, see `mvgamba_ros.config`.

    Example:
        >>> from mvgamba_ros import Options, Prompts
        >>> options = Options(max_faces=2000, convex_hull=True, prompts=Prompts(support_height=0.0))
        >>> options.method, options.segmenter
        ('mvgamba', 'classical')
    """

    method: str = DEFAULT_METHOD
    segmenter: str = "classical"
    use_masks: bool = False
    prompts: Prompts = field(default_factory=Prompts)
    refine: bool = True
    max_faces: int = 5000
    convex_hull: bool = False
    min_views: int = 1
    cloud_points: int = 20_000
    hull_resolution: int = 128
    checkpoint: str = ""
    sam_checkpoint: str = ""
    device: str = "auto"
    config: ReconstructionConfig = field(default_factory=ReconstructionConfig)

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        _one_of("segmenter", self.segmenter, SEGMENTERS)
        _one_of("device", self.device, DEVICES)
        _between("max_faces", self.max_faces, 16, 1_000_000)
        _between("min_views", self.min_views, 1, 64)
        _between("cloud_points", self.cloud_points, 100, 5_000_000)
        _between("hull_resolution", self.hull_resolution, 16, 512)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"{name} '{value}' is not one of {', '.join(allowed)}")


def _between(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"{name} {value!r} must be a whole number, {low} to {high}")
