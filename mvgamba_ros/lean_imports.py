"""Parts of numpy and torch that these import at their own start, and that a process of ours never calls: loaded when
something first asks for them, not before."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib import import_module
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
_ONE_AT_A_TIME = threading.RLock()


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
        needs = META if fullname in TRACERS else fullname.rpartition(".")[0]
        first = sys.modules.get(needs) if needs in SPARED else None
        after = _After(first) if first is not None and _is_put_off(first) else None
        if fullname not in SPARED and after is None:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None:
            spec.loader_state, spec.loader = spec.loader, after or self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        def load_first(name: str) -> Any:
            if name.startswith("__") and name != "__all__":  # asked of every module by `inspect`
                raise AttributeError(name)
            _load(module)
            return getattr(module, name)

        module.__getattr__ = load_first  # type: ignore[method-assign]


class _After(Loader):
    """Of what needs ``first``: loads that, and then the module anew, which ``first`` may itself have imported."""

    def __init__(self, first: ModuleType) -> None:
        self._first = first

    def exec_module(self, module: ModuleType) -> None:
        del sys.modules[module.__name__]
        _load(self._first)
        import_module(module.__name__)


def _is_put_off(module: ModuleType) -> bool:
    return isinstance(getattr(module.__spec__, "loader", None), _Late)


def _load(module: ModuleType) -> None:
    """Runs the file of ``module`` where that was put off; where it raises, the next who asks gets that, too."""
    with _ONE_AT_A_TIME:
        if not _is_put_off(module):
            return
        spec: Any = module.__spec__
        late, ask = spec.loader, module.__getattr__
        spec.loader = module.__loader__ = spec.loader_state
        del module.__getattr__
        try:
            spec.loader.exec_module(module)
        except BaseException:
            spec.loader, module.__loader__, module.__getattr__ = late, late, ask  # type: ignore[method-assign]
            raise
