"""Which generator runs, with which weights, and where."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import check_bounds
from mvgamba_ros.config.rows import check_choices, check_types, option
from mvgamba_ros.registry import BUILT_IN, REFUSED_GENERATORS, available


@dataclass(frozen=True)
class GeneratorOptions:
    """Options of a generator, the same for every picture it is given.

    Each `option` can be a flag of a command, as those of `mvgamba_ros.options.Options` are.

    Raises:
        ReconstructionError: BAD_OPTION for a value out of its range or not among its choices, which it names.
    """

    generator: str = option(
        "imagedream",
        "Makes up the object",
        choices=tuple(BUILT_IN["generators"]),
        extended_by=lambda: available("generators"),
        refused=REFUSED_GENERATORS,
    )
    weights: str = option(
        "",
        "Folder of the generator's weights, or owner/name@commit of a repository in this machine's Hugging Face cache; "
        "empty: the generator's own repository, at the commit that is pinned",
        read_only=True,
    )
    fetch: bool = option(False, "Download the weights that are not on this machine yet", read_only=True)
    device: str = option("auto", "Where the network runs: cpu, cuda or cuda:N; auto: the GPU where torch sees one")
    steps: int = option(
        30, "Denoising steps, of generators that denoise; the published pipelines take 30", low=1, high=1000
    )
    guidance: float = option(
        0.0,
        "Weight of the picture or the words against none (classifier-free guidance); 0: the published one, 5 for "
        "imagedream, 7.5 for mvdream",
        low=0.0,
        high=100.0,
    )

    def __post_init__(self) -> None:
        check_types(self)
        check_choices(self)
        check_bounds(self)
