"""ImageDream, from a picture, and MVDream, from words: four views of an object by multi-view diffusion.

(Wang and Shi, arXiv 2312.02201; Shi et al., arXiv 2308.16512.) MVGamba and LGM make their shapes of a single picture
from these views. Networks and sampling are this package's own and diffusers'; the weights are those that LGM uses.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate.canonical_cameras import AZIMUTHS, PAINTED, orbit_pose, square_camera
from mvgamba_ros.generate.cutout import recentre
from mvgamba_ros.generate.diffusers_folder import load_parts
from mvgamba_ros.generate.generator import GeneratedViews, Subject
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.generate.hub import Published, find_weights
from mvgamba_ros.generate.matting import cut_out
from mvgamba_ros.generate.multiview_sampling import Sampler
from mvgamba_ros.io.weights import CheckpointFile
from mvgamba_ros.kernels.device import choose_device
from mvgamba_ros.types import F32, U8, Bool, Cancelled, Progress, View

BORDER_RATIO = 0.2
"""Free part of the given picture's side: LGM's and ImageDream's."""
if TYPE_CHECKING:
    from typing_extensions import Self

LICENCE = "openrail, with the use restrictions of Stable Diffusion 2.1 (CreativeML Open RAIL++-M)"
NO_NEGATIVE = ""
"""The published pipelines' negative prompt."""


class _MultiView:
    """What both have in common: weights, sampling, and answers as posed views."""

    name: str
    published: Published
    guidance: float
    """Of the published pipeline."""
    size = 256
    """Of the pictures, pixels: what the networks were trained on."""

    def __init__(self, folder: Path, device: str = "auto", steps: int = 30, guidance: float = 0.0) -> None:
        chosen, _ = choose_device(device, scans=False)
        self.folder = folder
        parts = load_parts(folder, chosen, self.remedy)
        self.sampler = Sampler(parts, self.size)
        self.steps, self.weight = steps, guidance or self.guidance
        self.provenance = {"device": str(chosen), **parts.provenance}

    @property
    def remedy(self) -> str:
        return f"give the folder of {self.published.repository}"

    @classmethod
    def from_options(cls, options: GeneratorOptions) -> Self:
        """The factory that is registered."""
        folder = find_weights(cls.name, options.weights, cls.published, options.fetch)
        return cls(folder, options.device, options.steps, options.guidance)

    def _check(self, takes_pictures: bool) -> None:
        if bool(self.sampler.parts.unet.config.ip_dim) != takes_pictures:
            takes = "no picture" if takes_pictures else "a picture"
            raise CheckpointFile(self.folder, self.remedy).bad(
                f"its network takes {takes}, which {self.name}'s does not"
            )

    def _views(
        self, subject: Subject, picture: F32 | None, seed: int, progress: Progress, cancelled: Cancelled
    ) -> GeneratedViews:
        negative = NO_NEGATIVE if subject.negative_prompt is None else subject.negative_prompt
        painted = self.sampler.paint(
            subject.prompt, negative, picture, self.steps, self.weight, seed, progress, cancelled
        )
        if not np.isfinite(painted).all():
            raise CheckpointFile(self.folder, self.remedy).bad("its networks give values that are not finite")
        rows = dict(zip(PAINTED, (painted * 255).round().astype(np.uint8), strict=True))
        camera = square_camera(painted.shape[1])
        views = []
        notes = [f"{what} are cut off" for what in self.sampler.beyond_length(subject.prompt, negative)]
        for index, azimuth in enumerate(AZIMUTHS):
            name = f"the generated view at {round(np.degrees(azimuth))} degrees"
            mask, note = _mask(rows[index], name)
            views.append(View(rows[index], camera, orbit_pose(azimuth), mask, name=name))
            notes.append(note)
        return GeneratedViews(tuple(views), None if picture is None else AZIMUTHS[0], tuple(notes))


def _mask(picture: U8, name: str) -> tuple[Bool | None, str]:
    """The object in a generated view, and how it was found. A view whose background is not plain is kept without a
    mask: painting it took minutes."""
    try:
        cutout = cut_out(picture, what=name)
    except ReconstructionError as error:
        if error.code is not ErrorCode.EMPTY_SILHOUETTE:
            raise
        return None, f"{name} has no mask: {error.message}"
    return cutout.mask, f"{name} was cut out by {cutout.source}"


class ImageDream(_MultiView):
    """Four views of the object in a picture, the first of them from where the picture was taken; a prompt may name it.

    ``folder``: weights in the layout of the public repository. ``device``: of `choose_device`. ``steps``: of denoising.
    ``guidance``: 0 is the published 5. Raises BAD_CHECKPOINT, MISSING_PACKAGE, BAD_OPTION.
    """

    name = "imagedream"
    published = Published("ashawkey/imagedream-ipmv-diffusers", "73a034178e748421506492e91790cc62d6aefef5", LICENCE)
    guidance = 5.0

    def __init__(self, folder: Path, device: str = "auto", steps: int = 30, guidance: float = 0.0) -> None:
        super().__init__(folder, device, steps, guidance)
        self._check(takes_pictures=True)

    def __call__(self, subject: Subject, seed: int, progress: Progress, cancelled: Cancelled) -> GeneratedViews:
        cutout = subject.needed_cutout(self.name, "; words alone: mvdream")
        square = recentre(cutout, self.sampler.size, BORDER_RATIO).cutout
        return self._views(subject, square.on(1.0), seed, progress, cancelled)


class MVDream(_MultiView):
    """Four views of an object of words. Parameters and errors as `ImageDream`'s; the published guidance is 7.5."""

    name = "mvdream"
    published = Published("ashawkey/mvdream-sd2.1-diffusers", "503bb19fc2b2bc542c2afdb7d73ac87a7cbc2253", LICENCE)
    guidance = 7.5

    def __init__(self, folder: Path, device: str = "auto", steps: int = 30, guidance: float = 0.0) -> None:
        super().__init__(folder, device, steps, guidance)
        self._check(takes_pictures=False)

    def __call__(self, subject: Subject, seed: int, progress: Progress, cancelled: Cancelled) -> GeneratedViews:
        if not subject.prompt.strip():
            raise ReconstructionError(
                ErrorCode.BAD_OPTION, f"generator {self.name} needs a prompt; from a picture: imagedream"
            )
        return self._views(subject, None, seed, progress, cancelled)
