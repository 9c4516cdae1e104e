"""What is found by name: built in, or brought by an installed package through an entry point.

There are five kinds of extension. Each has one contract, and an entry point group of the same name:

=================  ==================================  =====================================================
kind               entry point group                   what the entry point names
=================  ==================================  =====================================================
methods            ``mvgamba_ros.methods``             a reconstructor, `mvgamba_ros.methods.protocol`
segmenters         ``mvgamba_ros.segmenters``          a segmenter, `mvgamba_ros.segmentation.segmenter`
object_sources     ``mvgamba_ros.object_sources``      training objects, `mvgamba_ros.synthesis.sources`
capture_readers    ``mvgamba_ros.capture_readers``     a capture format, `mvgamba_ros.io.capture_readers`
generators         ``mvgamba_ros.generators``          what makes up the unseen, `mvgamba_ros.generate.generator`
=================  ==================================  =====================================================

A package brings one by a line of its pyproject.toml::

    [project.entry-points."mvgamba_ros.methods"]
    poisson = "my_package.poisson:PoissonMethod"

Installed into the same environment, it is then a choice of every command, node parameter and request. What is built
in is listed here and not as entry points, so that it is found in a source tree and in a colcon workspace, which have
no package metadata.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mvgamba_ros.errors import ErrorCode, ReconstructionError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Kind = Literal["methods", "segmenters", "object_sources", "capture_readers", "generators"]

GROUP = "mvgamba_ros."
"""An entry point group is this and the kind."""

BUILT_IN: dict[Kind, dict[str, str]] = {
    "methods": {
        "hull": "mvgamba_ros.methods.hull_surface:HullMethod.from_options",
        "mvgamba": "mvgamba_ros.methods.mvgamba:MVGambaMethod.from_options",
        "mvgamba-published": "mvgamba_ros.methods.published.method:MVGambaPublished.from_options",
    },
    "segmenters": {
        "classical": "mvgamba_ros.segmentation.classical.classical_segmenter:ClassicalSegmenter.from_options",
        "multiview": "mvgamba_ros.segmentation.multiview.multiview_segmenter:MultiviewSegmenter.from_options",
        "sam": "mvgamba_ros.segmentation.sam:SamSegmenter.from_options",
        "masks": "mvgamba_ros.segmentation.given:GivenMasks.from_options",
    },
    "object_sources": {
        "procedural": "mvgamba_ros.synthesis.families:Procedural",
        "household": "mvgamba_ros.synthesis.household:Household",
        "pybullet": "mvgamba_ros.synthesis.sources:open_pybullet",
        "robosuite": "mvgamba_ros.synthesis.sources:open_robosuite",
        "sweethome3d-train": "mvgamba_ros.synthesis.furniture:open_train",
        "sweethome3d-test": "mvgamba_ros.synthesis.furniture:open_test",
    },
    "capture_readers": {
        "transforms_json": "mvgamba_ros.io.transforms_json:TransformsJson",
        "rosbag": "mvgamba_ros.ros.bag_reader:RosBag",
        "colmap": "mvgamba_ros.io.colmap_folder:Colmap",
        "bop": "mvgamba_ros.io.bop_scene:BopScene",
        "polycam": "mvgamba_ros.io.polycam_export:Polycam",
        "record3d": "mvgamba_ros.io.record3d_export:Record3D",
        "metashape": "mvgamba_ros.io.metashape_xml:Metashape",
        "tum": "mvgamba_ros.io.tum_sequence:TumSequence",
    },
    "generators": {
        "imagedream": "mvgamba_ros.generate.multiview_diffusion:ImageDream.from_options",
        "mvdream": "mvgamba_ros.generate.multiview_diffusion:MVDream.from_options",
        "triposr": "mvgamba_ros.generate.triposr:TripoSR.from_options",
        "trellis": "mvgamba_ros.generate.trellis:Trellis.from_options",
        "trellis2": "mvgamba_ros.generate.trellis2:Trellis2.from_options",
        "step1x3d": "mvgamba_ros.generate.step1x3d:Step1X3D.from_options",
    },
}
"""``module:attribute`` of what ships with the package, by kind and name."""

REFUSED_GENERATORS = {
    "sam-3d-objects": "the SAM License, which is no open-source licence and forbids some uses, and weights that its "
    "makers hand out on request (huggingface.co/facebook/sam-3d-objects)",
    "hunyuan3d": "the Tencent Hunyuan 3D Community License, which does not apply in the European Union, the United "
    "Kingdom and South Korea (huggingface.co/tencent/Hunyuan3D-2)",
}
"""Terms of generators that are known and not run, as these are no robot maker's, or not everyone's. They are listed
nowhere; who names one is told."""


def available(kind: Kind) -> tuple[str, ...]:
    """Every name of a kind, the built-in ones first.

    Nothing is imported: a package that is installed but broken is listed all the same, and `load` names its fault.
    Packages installed while the process runs are not seen.

    Args:
        kind: One of `Kind`.

    Returns:
        The names, each once.
    """
    brought = sorted({entry.name for entry in _of_kind(kind)})
    return (*BUILT_IN[kind], *(name for name in brought if name not in BUILT_IN[kind]))


def load(kind: Kind, name: str) -> Any:
    """What is registered under ``name``: a factory, of the contract of its kind.

    Args:
        kind: One of `Kind`.
        name: One of `available(kind)`.

    Returns:
        The attribute that the registration names, imported.

    Raises:
        ReconstructionError: BAD_OPTION where no such name is registered, where two packages register it or one hides
            what is built in, and where its module lacks the attribute or raises when imported; MISSING_PACKAGE where
            importing it needs a package that is not installed.
    """
    what = f"{_singular(kind)} '{name}'"
    brought = [entry for entry in _of_kind(kind) if entry.name == name]
    if name in BUILT_IN[kind]:
        if brought:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"{what} is built in, and {_packages(brought)} registers another of that name in the entry point group "
                f"{GROUP}{kind}: uninstall it, or have it register another name",
            )
        module, _, attribute = BUILT_IN[kind][name].partition(":")
        return attrgetter(attribute)(import_module(module))
    if not brought:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"{what} is not one of {', '.join(available(kind))}")
    if len(brought) > 1:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"{what} is registered {len(brought)} times, by {_packages(brought)}: uninstall all of them but one",
        )
    try:
        return brought[0].load()
    except ImportError as error:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE, f"{what} of {_packages(brought)} cannot be imported: {error}"
        ) from error
    except (Exception, SystemExit) as error:  # whatever its module raises when imported
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"{what} of {_packages(brought)} cannot be loaded from {brought[0].value}: {type(error).__name__}: {error}",
        ) from error


def origin(kind: Kind, name: str) -> str:
    """Where ``name`` comes from, for messages: ``mvgamba_ros``, or the package that brings it and its version."""
    brought = [entry for entry in _of_kind(kind) if entry.name == name]
    return _packages(brought) if brought else "mvgamba_ros"


def fault(kind: Kind, name: str, what: str) -> ReconstructionError:
    """The error to raise where an extension breaks its contract: it names the extension and its package."""
    return ReconstructionError(
        ErrorCode.BAD_OPTION,
        f"{_singular(kind)} '{name}' of {origin(kind, name)} {what}: a fault of that package, tell its makers; what is "
        f"built in: {', '.join(BUILT_IN[kind])}",
    )


@contextmanager
def blamed(kind: Kind, name: str) -> Iterator[None]:
    """Around every call of an extension: what an installed one raises, but for a `ReconstructionError` with a code,
    becomes its `fault`. What is built in raises what it raises."""
    try:
        yield
    except (Exception, SystemExit) as error:  # sys.exit in a plug-in must not end the node's thread
        proper = isinstance(error, ReconstructionError) and isinstance(error.code, ErrorCode) and error.code
        if proper or name in BUILT_IN[kind]:
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise fault(kind, name, f"raised {text} ({Path(last.filename).name}, line {last.lineno})") from error


def _of_kind(kind: Kind) -> tuple[EntryPoint, ...]:
    return tuple(_installed().select(group=GROUP + kind))


@lru_cache(maxsize=1)
def _installed() -> Any:
    """The entry points of every installed package, read once: with some hundred packages that takes a tenth of a
    second."""
    from importlib.metadata import distributions, entry_points  # only here: they take as long as all else to import

    try:
        return entry_points()
    except Exception as error:  # one package's damaged metadata is enough
        for found in distributions():
            try:
                list(found.entry_points)
            except Exception as cause:
                raise ReconstructionError(
                    ErrorCode.MISSING_PACKAGE,
                    f"the entry points of an installed package, in {getattr(found, '_path', found)}, cannot be read "
                    f"({cause}): install that package anew, or remove it",
                ) from error
        raise


def _packages(entries: list[EntryPoint]) -> str:
    names = (f"package {e.dist.name} {e.dist.version}" if e.dist else f"a package of {e.value}" for e in entries)
    return " and ".join(names)


def _singular(kind: Kind) -> str:
    return kind.removesuffix("s").replace("_", " ")
