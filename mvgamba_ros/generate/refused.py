"""Generators that are known and not run: their terms are no robot maker's, or not everyone's."""

from __future__ import annotations

from typing import NoReturn

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate.generator_options import GeneratorOptions

OTHERS = "use imagedream, mvdream, triposr, trellis, trellis2 or step1x3d, or register your own (docs/extend.md)"


def sam_3d_objects(options: GeneratorOptions) -> NoReturn:
    """SAM 3D Objects, of Meta. Raises BAD_OPTION."""
    raise _refused(
        options.generator,
        "the SAM License, which is no open-source licence and forbids some uses, and weights that its makers hand out "
        "on request (huggingface.co/facebook/sam-3d-objects)",
    )


def hunyuan3d(options: GeneratorOptions) -> NoReturn:
    """Hunyuan3D, of Tencent. Raises BAD_OPTION."""
    raise _refused(
        options.generator,
        "the Tencent Hunyuan 3D Community License, which does not apply in the European Union, the United Kingdom and "
        "South Korea (huggingface.co/tencent/Hunyuan3D-2)",
    )


def _refused(name: str, terms: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.BAD_OPTION, f"generator {name} is not run by this package: {terms}; {OTHERS}")
