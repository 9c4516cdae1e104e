"""Settings from a YAML file and from ``KEY=VALUE`` changes, checked against a tree of frozen dataclasses.

OmegaConf parses, merges and checks the types; it is imported on the first call.
"""

from __future__ import annotations

import difflib
import math
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mvgamba_ros.config.bounds import check_bounds
from mvgamba_ros.config.parsing import parse_change, read_yaml
from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, cause, short, shown

T = TypeVar("T")

UNFIT = (OverflowError, TypeError, ValueError)
"""What OmegaConf raises, beside its own errors, where a value does not fit: a huge number, a list for a section."""


def load_config(cls: type[T], file: str | Path | None = None, changes: Sequence[str] = ()) -> T:
    """An instance of the dataclass ``cls``: its defaults, then the YAML ``file``, then ``changes`` in their order.

    A change is "key=value" or "section.key=value", the value in YAML ("4e-4", "[1, 2]", "{4: 0.5}"). Fields may be
    numbers, text, booleans, None, lists, tuples, mappings, and dataclasses of these. A mapping replaces the default
    one; a section changes only the keys that it names.

    Args:
        cls: A dataclass. Fields without a default must be set by ``file`` or ``changes``.
        file: Path of a YAML file with a mapping of settings, or None.
        changes: What follows ``--set`` on a command line.

    Returns:
        The instance, its ranges checked (`mvgamba_ros.config.bounds`).

    Raises:
        ReconstructionError: BAD_OPTION for a file that cannot be read, an unknown key, a value of another type or out
            of range; the message names where it stands, key, value and what would be right.

    Example:
        >>> load_config(ReconstructionConfig, None, ["surface.smoothing_sigma=2.0"])  # doctest: +SKIP
    """
    layers = [] if file is None else [(str(file), read_yaml(Path(file)))]
    return merge_config(cls, [*layers, *((f"--set {short(change)}", parse_change(change)) for change in changes)])


def merge_config(cls: type[T], layers: Sequence[tuple[str, Mapping[Any, Any]]]) -> T:
    """An instance of the dataclass ``cls``: its defaults, then each of ``layers``, a mapping of settings with the name
    of where it stands. Rules and errors are those of `load_config`."""
    with boundary(ErrorCode.BAD_OPTION, ", ".join(source for source, _ in layers), "write 'key: value' lines"):
        return _merge(cls, layers)


def _merge(cls: type[T], layers: Sequence[tuple[str, Mapping[Any, Any]]]) -> T:
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    for source, values in layers:
        if not isinstance(values, Mapping):
            raise _bad(f"{source}: {shown(values)} is not a mapping: write 'key: value' lines")
        _check_text(source, values)
    config = _structured(typing.cast(type, cls))
    try:
        config = OmegaConf.merge(config, *(values for _, values in layers))  # each call copies all settings
    except (OmegaConfBaseException, *UNFIT):
        _raise_for_layer(cls, config, layers)
    try:
        loaded = OmegaConf.to_object(config)
    except MissingMandatoryValue as error:
        raise _bad(f"{error.full_key} is not set: set it in the config file, or by --set KEY=VALUE") from error
    except OmegaConfBaseException as error:
        raise _bad(f"{error.full_key}: {cause(error)}") from error
    return _finish(loaded, [values for _, values in layers], "")


@cache
def _structured(cls: type) -> Any:
    """The defaults of ``cls`` as OmegaConf holds them, to copy: making them takes half as long as all else."""
    from omegaconf import OmegaConf

    return OmegaConf.structured(cls)


def _bad(message: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.BAD_OPTION, message)


def _check_text(source: str, value: Any, path: tuple[Any, ...] = ()) -> None:
    """Refuses text that OmegaConf takes for more than text: a reference ${...}, which may read the environment, and
    ???, its mark for a value that is still missing, which would leave the default in place without a word."""
    if isinstance(value, str) and ("${" in value or value == "???"):
        raise _bad(
            f"{source}: {_dotted(path)} {shown(value)} is not a value: write the value itself, references are "
            "not resolved"
        )
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        _check_text(source, item, (*path, key))


def _dotted(path: Sequence[Any]) -> str:
    return short(".".join(map(str, path)))


def _raise_for_layer(cls: type, config: Any, layers: Sequence[tuple[str, Mapping[Any, Any]]]) -> typing.NoReturn:
    """Raises for the first of ``layers`` that cannot be merged into ``config`` after those before it."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for source, values in layers:
        try:
            config = OmegaConf.merge(config, values)
        except (OmegaConfBaseException, *UNFIT):
            _raise_for_leaf(cls, config, source, values)
    raise _bad(f"{', '.join(source for source, _ in layers)}: cannot be merged into {cls.__name__}")


def _raise_for_leaf(cls: type, config: Any, source: str, values: Mapping[Any, Any]) -> typing.NoReturn:
    """Raises for the first value of ``values`` that cannot be merged into ``config`` by itself."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for path, value in _leaves(values):
        layer: Any = value
        for key in reversed(path):
            layer = {key: layer}
        try:
            OmegaConf.merge(config, layer)
        except (OmegaConfBaseException, *UNFIT) as error:
            raise _bad(f"{source}: {_explain(cls, path, value)}") from error
    raise _bad(f"{source}: cannot be merged into {cls.__name__}")


def _leaves(values: Mapping[Any, Any], prefix: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def _explain(cls: type, path: Sequence[Any], value: Any) -> str:
    """Why ``value`` cannot stand at ``path`` of the dataclass ``cls``, and what can."""
    hint: Any = cls
    for index, key in enumerate(path):
        section = _section(hint)
        if section is None:
            break
        hints = typing.get_type_hints(section)
        if key not in {row.name for row in fields(section)}:
            return _unknown(cls, section, [str(part) for part in path[: index + 1]])
        hint = hints[key]
    return f"{_dotted(path)} {shown(value)} is of a wrong type: give {_kind(hint)}"


def _unknown(cls: type, section: type, path: Sequence[str]) -> str:
    """Names the settings whose last name is nearest, wherever they are, else all of the section."""
    everywhere = list(_names(cls))
    by_last: dict[str, list[str]] = {}
    for name in everywhere:
        by_last.setdefault(name.rpartition(".")[2], []).append(name)
    here = [row.name for row in fields(section)]
    near = [full for last in difflib.get_close_matches(path[-1], by_last, n=3) for full in by_last[last]]
    prefix = "".join(f"{part}." for part in path[:-1])
    text = f"there is no setting '{_dotted(path)}'"
    if near:
        return f"{text}: did you mean {', '.join(near)}?"
    return f"{text}: there are {', '.join(prefix + name for name in here)}" if here else text


def _names(cls: type, prefix: str = "") -> Iterator[str]:
    """The dotted names of all sections and settings of a dataclass."""
    hints = typing.get_type_hints(cls)
    for row in fields(cls):
        yield prefix + row.name
        section = _section(hints[row.name])
        if section is not None:
            yield from _names(section, f"{prefix}{row.name}.")


def _section(hint: Any) -> type | None:
    """The dataclass that a type hint stands for, if it does; also of an optional one."""
    candidates = [hint, *(typing.get_args(hint) if type(None) in typing.get_args(hint) else ())]
    return next((kind for kind in candidates if isinstance(kind, type) and is_dataclass(kind)), None)


def _kind(hint: Any) -> str:
    """What a value of a type is called in a message."""
    words: dict[Any, str] = {
        Any: "any value",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
    }
    if hint in words:
        return words[hint]
    section = _section(hint)
    if section is not None:
        return f"a section of {', '.join(row.name for row in fields(section))}"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (list, tuple):
        few = "" if origin is list or Ellipsis in arguments else f" of {len(arguments)}"
        return f"a list{few}, each {_kind(arguments[0])}"
    if origin is dict:
        return f"a mapping from {_kind(arguments[0])} to {_kind(arguments[1])}, as {{key: value}}"
    if type(None) in arguments:
        return " or ".join("null" if kind is type(None) else _kind(kind) for kind in arguments)
    return str(hint)


def _finish(settings: Any, layers: Sequence[Mapping[Any, Any]], prefix: str) -> Any:
    """What OmegaConf leaves to do: elements of lists get their types, a mapping that was set replaces the default one,
    NaN and values out of range are refused. ``layers`` hold what was set in this section, the last one wins."""
    hints, changed = typing.get_type_hints(type(settings)), {}
    for row in fields(settings):
        value, name = getattr(settings, row.name), f"{prefix}{row.name}"
        given = [layer[row.name] for layer in layers if row.name in layer]
        if is_dataclass(value):
            changed[row.name] = _finish(value, [layer for layer in given if isinstance(layer, Mapping)], f"{name}.")
        elif isinstance(value, dict) and given and isinstance(given[-1], Mapping):
            changed[row.name] = {key: value[key] for key in given[-1]}
        elif isinstance(value, (list, tuple, float)):
            changed[row.name] = _typed(value, hints[row.name], name)
    result = replace(settings, **changed)
    check_bounds(result, prefix)
    return result


def _typed(value: Any, hint: Any, name: str) -> Any:
    """``value`` as its hint wants it, also inside lists and tuples, whose elements OmegaConf does not all check."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    section = _section(hint)
    if section is not None and isinstance(value, Mapping):
        return _element(section, value, name)
    if origin in (list, tuple):
        given = value if isinstance(value, (list, tuple)) else ()
        kinds = arguments if origin is tuple and Ellipsis not in arguments else arguments[:1] * len(given)
        right = given is value and len(kinds) == len(given)
        if right:
            return origin(_typed(v, k, f"{name}[{i}]") for i, (v, k) in enumerate(zip(given, kinds, strict=True)))
    elif hint is float:
        right = isinstance(value, (int, float)) and not isinstance(value, bool) and _is_float(value)
        if right:
            return float(value)
    else:
        right = hint not in (int, str, bool) or type(value) is hint
    if not right:
        raise _bad(f"{name} {shown(value)} is of a wrong type: give {_kind(hint)}")
    return value


def _is_float(value: float) -> bool:
    return abs(value) <= sys.float_info.max if isinstance(value, int) else not math.isnan(value)


def _element(section: type, values: Mapping[Any, Any], name: str) -> Any:
    """A dataclass inside a list."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    known = {row.name for row in fields(section)}
    needed = {row.name for row in fields(section) if row.default is MISSING and row.default_factory is MISSING}
    for key in [*(set(values) - known), *(needed - set(values))]:
        raise _bad(f"{name}.{key}: {'unknown' if key in values else 'missing'}; there are {', '.join(sorted(known))}")
    try:
        loaded = OmegaConf.to_object(OmegaConf.merge(_structured(section), dict(values)))
    except (OmegaConfBaseException, *UNFIT) as error:
        raise _bad(f"{name} {shown(dict(values))}: {cause(error)}") from error
    return _finish(loaded, [values], f"{name}.")
