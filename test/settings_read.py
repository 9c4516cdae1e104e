"""Which settings source code reads, by the class that declares them: names are followed from annotations, through
assignments and sections. A setting that is passed on in a way not followed here counts as not read."""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Types = dict[str, type]
"""Expressions, as written, that are an instance of a class of settings."""


@dataclass
class Reader:
    """Collects in ``found`` the class and name of every setting that is read; ``sections`` are the classes by name."""

    sections: Mapping[str, type]
    holders: dict[str, Types] = field(default_factory=dict)
    """For each class of the sources that keeps settings, its attributes that do."""
    found: set[tuple[str, str]] = field(default_factory=set)

    def read(self, modules: Iterable[ast.Module]) -> set[tuple[str, str]]:
        modules = list(modules)
        for _ in range(2):  # the first pass finds who keeps settings
            for module in modules:
                self._block(module.body, {}, "")
        return self.found

    def _annotated(self, name: str, annotation: ast.expr | None) -> Types:
        known: Types = {}
        for node in ast.walk(annotation) if annotation is not None else ():
            if isinstance(node, ast.Name) and node.id in self.sections:
                known[name] = self.sections[node.id]
            elif isinstance(node, ast.Name):
                known |= {f"{name}.{attribute}": kind for attribute, kind in self.holders.get(node.id, {}).items()}
        return known

    def _kind(self, node: ast.expr, types: Types) -> type | None:
        """The class of settings that an expression is an instance of; notes the setting that it reads."""
        if ast.unparse(node) in types:
            return types[ast.unparse(node)]
        if isinstance(node, ast.Call):
            return self.sections.get(ast.unparse(node.func))
        section = self._kind(node.value, types) if isinstance(node, ast.Attribute) else None
        if section is None or not isinstance(node, ast.Attribute):
            return None
        self.found.add((section.__name__, node.attr))
        kind = typing.get_type_hints(section).get(node.attr)
        return kind if kind in self.sections.values() else None

    def _block(self, nodes: Iterable[ast.AST], types: Types, holder: str) -> None:
        for node in nodes:
            below = list(ast.iter_child_nodes(node))
            if isinstance(node, ast.ClassDef):
                self._block(below, dict(types), node.name)
            elif isinstance(node, ast.FunctionDef | ast.Lambda):
                inner = types | {f"self.{name}": kind for name, kind in self.holders.get(holder, {}).items()}
                for row in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                    inner.pop(row.arg, None)
                    inner |= self._annotated(row.arg, row.annotation)
                self._block(below, inner, holder)
                kept = {name.removeprefix("self."): kind for name, kind in inner.items() if name.startswith("self.")}
                self.holders.setdefault(holder, {}).update(kept)
            else:
                if isinstance(node, ast.Attribute):
                    self._kind(node, types)
                self._block(below, types, holder)
                if isinstance(node, ast.Assign):
                    self._assign(node.targets, node.value, types)
                elif isinstance(node, ast.AnnAssign):
                    known = self._annotated(ast.unparse(node.target), node.annotation)
                    types |= known
                    self.holders.setdefault(holder, {}).update(known)

    def _assign(self, targets: list[ast.expr], value: ast.expr, types: Types) -> None:
        for target in targets:
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=False))
            for name, given in pairs:
                kind = self._kind(given, types)
                types.pop(ast.unparse(name), None)
                if kind is not None:
                    types[ast.unparse(name)] = kind
