"""Parts of numpy and torch that these import at their own start, and that a process of ours never calls: loaded when
something first asks for them, not before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

SPARED = ("numpy.f2py", "torch._meta_registrations", "torch.distributions", "torch.export")
"""f2py comes with scipy's ``from numpy import *``. The others are a third of ``import torch``."""
META = "torch._meta_registrations"
"""Registers arithmetic without values, on torch's device "meta"; nobody asks it for anything by name."""
TRACERS = ("torch._decomp", "torch._dynamo", "torch._inductor")
"""What traces programs computes without values: whoever imports one of these gets `META` first."""


def spare_unused() -> None:
    """Have `SPARED` load late, where they are not loaded yet: for a process in which this package's own networks run
    and no other.

    In other people's, arithmetic on the device "meta" outside of `TRACERS` may be needed, and is then NOT IMPLEMENTED.
    """
    if not any(isinstance(finder, _Late) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Late())


class _Late(MetaPathFinder, Loader):
    """Finds `SPARED`, and makes each a module that runs its file at the first attribute asked for.

    Not `importlib.util.LazyLoader`: its modules load when `inspect` looks through all for their ``__file__``, which
    torch has it do.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in TRACERS and META in sys.modules:
            _load(sys.modules[META])
        if fullname not in SPARED:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None:
            spec.loader_state, spec.loader = spec.loader, self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        def load_first(name: str) -> Any:
            if name.startswith("__"):  # asked of every module by `inspect`, and of a package by the import of its parts
                raise AttributeError(name)
            _load(module)
            return getattr(module, name)

        module.__getattr__ = load_first  # type: ignore[method-assign]


def _load(module: ModuleType) -> None:
    """Runs the file of ``module`` where that was put off."""
    spec = module.__spec__
    if spec is None or not isinstance(spec.loader, _Late):
        return
    spec.loader = module.__loader__ = spec.loader_state
    del module.__getattr__
    assert spec.loader is not None
    spec.loader.exec_module(module)
