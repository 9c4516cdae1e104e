"""Reconstructors behind one protocol: `hull` needs no weights, `mvgamba` is the network."""

from __future__ import annotations

from functools import lru_cache

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.methods.protocol import Method, Shape

__all__ = ["Method", "Shape", "load_method"]


@lru_cache(maxsize=2)
def load_method(name: str, checkpoint: str = "", device: str = "auto") -> Method:
    """The method called ``name``, ready to run; kept, so that weights load once.

    Raises BAD_OPTION, BAD_CHECKPOINT, MISSING_PACKAGE (``device`` cuda without what it needs).
    """
    if name == "hull":
        from mvgamba_ros.methods.hull import HullMethod

        return HullMethod()
    if name == "mvgamba":
        from mvgamba_ros.methods.mvgamba import MVGambaMethod

        return MVGambaMethod(checkpoint, device)
    raise ReconstructionError(ErrorCode.BAD_OPTION, f"method '{name}' is not one of hull, mvgamba")
