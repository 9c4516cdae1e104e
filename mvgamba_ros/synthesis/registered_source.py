"""Object sources found by name, those of installed packages held to their contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mvgamba_ros.registry import BUILT_IN, blamed, fault, load
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh


@dataclass(frozen=True)
class Installed:
    """The source that an installed package registers as ``name``, held to its contract."""

    source: Any
    name: str

    def __len__(self) -> int:
        with blamed("object_sources", self.name):
            return len(self.source)

    def __getitem__(self, index: int) -> TexturedMesh:
        with blamed("object_sources", self.name):
            mesh = self.source[index]
        if not isinstance(mesh, TexturedMesh):
            what = f"returned {type(mesh).__name__}, not a TexturedMesh, for object {index}"
            raise fault("object_sources", self.name, what)
        return mesh


def registered(name: str, seed: int, count: int) -> Any:
    """The `Source` ``name`` (`mvgamba_ros.registry`). Raises what loading it raises, and BAD_OPTION where it
    is at fault."""
    factory = load("object_sources", name)
    with blamed("object_sources", name):
        source = factory(seed, count)
    if name in BUILT_IN["object_sources"]:
        return source
    source = Installed(source, name)
    if not len(source):
        raise fault("object_sources", name, "has no objects")
    return source
