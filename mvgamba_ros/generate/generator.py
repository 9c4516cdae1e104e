"""What a generator is: it makes up an object from one picture, or from words.

A generator is registered under a name (`mvgamba_ros.registry`, kind ``generators``) by its factory, a class or function
``factory(options: GeneratorOptions) -> Generator``. The factory loads weights, from where they lie on this machine, and
raises BAD_CHECKPOINT, MISSING_PACKAGE or BAD_OPTION where it cannot. What it makes is kept and called once an object
(`mvgamba_ros.generate.run_generator`), always from one thread at a time. It may have an attribute ``provenance``, as a
reconstructor may (`mvgamba_ros.methods.protocol`).

The canonical frame
-------------------
What a generator answers has no scale and lies in a frame of its own: z up, the object's middle at the origin, its
extent within [-1, 1] on every axis, the unit of length half the cube's side. `mvgamba_ros.geometry.unit_cube.UnitCube`
takes it to metres. Azimuths are about z, counter-clockwise seen from above, in radians; 0 is +x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mvgamba_ros.errors import ErrorCode, ReconstructionError, shown
from mvgamba_ros.generate.cutout import Cutout
from mvgamba_ros.types import Cancelled, Mesh, Progress, View

LONGEST_PROMPT = 2000
"""Characters; CLIP reads 77 tokens, some 350 characters."""


@dataclass(frozen=True)
class Subject:
    """What to make up.

    Attributes:
        cutout: The object in a picture; None for a generator that takes words alone.
        prompt: The object in words, English for the published weights; may be empty beside a picture.
        negative_prompt: What it shall not be, in words; None: the generator's default.

    Raises:
        ReconstructionError: BAD_OPTION where there is neither a picture nor a word, and for a text of more than
            `LONGEST_PROMPT` characters.
    """

    cutout: Cutout | None = None
    prompt: str = ""
    negative_prompt: str | None = None

    def __post_init__(self) -> None:
        for name, text in (("prompt", self.prompt), ("negative_prompt", self.negative_prompt or "")):
            if not isinstance(text, str) or len(text) > LONGEST_PROMPT:
                raise ReconstructionError(
                    ErrorCode.BAD_OPTION, f"{name} {shown(text)}: at most {LONGEST_PROMPT} characters of text"
                )
        if self.cutout is None and not self.prompt.strip():
            raise ReconstructionError(ErrorCode.BAD_OPTION, "nothing to make up: give a picture, or a prompt")

    def needed_cutout(self, name: str, otherwise: str = "") -> Cutout:
        """The picture, for the generator ``name`` that takes one. Raises BAD_OPTION where there is none; ``otherwise``
        ends the message."""
        if self.cutout is None:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION, f"generator {name} needs a picture of the object{otherwise}"
            )
        return self.cutout


@dataclass(frozen=True)
class GeneratedViews:
    """Pictures of one object from several sides.

    Attributes:
        views: In the canonical frame: ``T_world_camera`` is the pose there, ``camera`` a pinhole. Each has its
            ``mask``, but for those whose background could not be told from the object, which a note says. They fit no
            better together than the network that painted them saw to.
        photo_azimuth: Azimuth of the camera, in radians, that the given picture was taken from, as far as the generator
            fixes it; None where it does not, or where there was no picture.
        notes: What was assumed on the way, in words.
    """

    views: tuple[View, ...]
    photo_azimuth: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GeneratedMesh:
    """A surface.

    Attributes:
        mesh: In the canonical frame, triangles oriented outward; it need not be closed.
        photo_azimuth: As in `GeneratedViews`.
        notes: As in `GeneratedViews`.
    """

    mesh: Mesh
    photo_azimuth: float | None = None
    notes: tuple[str, ...] = ()


Generated = GeneratedViews | GeneratedMesh


class Generator(Protocol):
    """A network that makes up objects, ready to run."""

    name: str
    """The name it is registered under."""

    def __call__(self, subject: Subject, seed: int, progress: Progress, cancelled: Cancelled) -> Generated:
        """An object that could be the one in the picture, or of the words.

        Args:
            subject: What to make up.
            seed: Of all that is drawn, 0 to 2**63 - 1: one seed, one answer, on one device and one version of torch.
            progress: Called as ``progress(stage, fraction)``, the fraction of this generator's own work in [0, 1].
            cancelled: Polled between steps with `mvgamba_ros.errors.stop_if`.

        Returns:
            Views, or a mesh, in the canonical frame.

        Raises:
            ReconstructionError: BAD_OPTION for a subject without what this generator needs, EMPTY_SILHOUETTE,
                EMPTY_SURFACE, CANCELLED. Any other exception, and a result that is not of this contract, is reported as
                a fault of the package that brings the generator.
        """
        ...
