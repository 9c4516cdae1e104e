"""The flags that several subcommands share: the options, where the object is, and the configuration."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mvgamba_ros.config.rows import Row, rows
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.options import Options
from mvgamba_ros.registry import available

if TYPE_CHECKING:
    from mvgamba_ros.config import ReconstructionConfig
    from mvgamba_ros.types import Box

Chosen = TypeVar("Chosen", bound=Options)


def add_options(parser: argparse.ArgumentParser, cls: type[Options] = Options) -> None:
    """A flag for each option of ``cls``, and ``--masks``."""
    group = parser.add_argument_group("reconstruction")
    one_of = group.add_mutually_exclusive_group()
    for row in rows(cls):
        _add_flag(one_of if row.name == "segmenter" else group, row)
    one_of.add_argument("--masks", action="store_true", help="the same as --segmenter masks")


def flag(row: Row) -> str:
    """E.g. ``--max-faces``."""
    return "--" + row.name.replace("_", "-")


class Allowed:
    """The choices of a row as argparse takes them; sought when a value or the help needs them, which costs time.
    ``refused``: names that are not listed, and pass here to be refused with the reason."""

    def __init__(self, names: Callable[[], tuple[str, ...]], refused: Collection[str] = ()) -> None:
        self._names, self._refused = names, refused

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __contains__(self, name: object) -> bool:
        return name in self._refused or name in self._names()


def _add_flag(group: argparse._ArgumentGroup, row: Row) -> None:
    text = row.text[0].lower() + row.text[1:].replace("%", "%%")
    if isinstance(row.default, bool):
        group.add_argument(
            flag(row),
            action=argparse.BooleanOptionalAction,
            default=row.default,
            help=f"{text} (default: {'yes' if row.default else 'no'})",
        )
    elif isinstance(row.default, str):
        if row.choices:
            choices = Allowed(lambda: row.allowed, row.refused)
            group.add_argument(
                flag(row),
                metavar="NAME",
                choices=choices,
                default=row.default,
                help=f"{text}: %(choices)s (default: %(default)s)",
            )
        else:
            default = " (default: %(default)s)" if row.default else ""
            group.add_argument(flag(row), metavar="TEXT", default=row.default, help=text + default)
    elif isinstance(row.default, list):
        default = " ".join(f"{value:g}" for value in row.default) or "none"
        group.add_argument(
            flag(row), metavar="N", nargs="*", type=float, default=row.default, help=f"{text} (default: {default})"
        )
    else:
        kind = type(row.default)
        limits = f"{row.range}, " if row.range else ""
        group.add_argument(
            flag(row), metavar="N", type=kind, default=row.default, help=f"{text} ({limits}default: %(default)s)"
        )


def positive(text: str) -> int:
    """For argparse: a whole number of 1 or more."""
    return _at_least(1, text)


def not_negative(text: str) -> int:
    """For argparse: a whole number of 0 or more."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number, {least} or more")
    return value


def add_reader(parser: argparse.ArgumentParser) -> None:
    """``--reader``."""
    parser.add_argument(
        "--reader",
        metavar="NAME",
        default="",
        choices=Allowed(lambda: available("capture_readers")),
        help="format of the capture: %(choices)s (default: found from its files)",
    )


def add_depth(parser: argparse.ArgumentParser) -> None:
    """``--depth`` and ``--no-depth``."""
    parser.add_argument(
        "--depth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="use the depth that a capture has (default: yes)",
    )


def add_prompts(parser: argparse.ArgumentParser, without: str) -> None:
    """``--roi`` and ``--support-height``. ``without``: what holds where no region is given."""
    group = parser.add_argument_group("where the object is")
    group.add_argument(
        "--roi",
        nargs=6,
        type=float,
        action="append",
        default=[],
        metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help=f"box that holds the object: lowest and highest corner, metres ({without})",
    )
    group.add_argument("--support-height", type=float, metavar="Z", help="height of the plane it stands on, metres")


def add_config(parser: argparse.ArgumentParser) -> None:
    """``--config`` and ``--set``."""
    group = parser.add_argument_group("configuration")
    group.add_argument(
        "--config", metavar="FILE", type=Path, help="YAML file of settings; `mvgamba config` prints all of them"
    )
    group.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one setting, after the file; sections by dots; may be given several times",
    )


def config_from(args: argparse.Namespace) -> ReconstructionConfig:
    """What `add_config` parsed. Raises BAD_OPTION."""
    from mvgamba_ros.config import ReconstructionConfig
    from mvgamba_ros.config.loading import load_config

    if args.config is None and not args.set:
        return ReconstructionConfig()
    return load_config(ReconstructionConfig, args.config, args.set)


def regions_from(args: argparse.Namespace) -> list[Box]:
    """Each ``--roi`` that `add_prompts` parsed. Raises BAD_OPTION for two that are equal."""
    import numpy as np

    from mvgamba_ros.geometry.boxes import axis_parallel_box

    for number, roi in enumerate(args.roi):
        if roi in args.roi[:number]:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION, f"--roi {' '.join(f'{x:g}' for x in roi)} is given twice: give each object's once"
            )
    return [axis_parallel_box(np.array(roi[:3]), np.array(roi[3:])) for roi in args.roi]


def options_from(args: argparse.Namespace, cls: type[Chosen], several: bool = False) -> Chosen:
    """What `add_options`, `add_prompts` and `add_config` parsed. Raises BAD_OPTION, also for more than one ``--roi``
    unless ``several`` are taken, which are then not in the options."""
    from mvgamba_ros.types import Prompts

    chosen = {row.name: getattr(args, row.name) for row in rows(cls)}
    if args.masks:
        chosen["segmenter"] = "masks"
    regions = regions_from(args)
    if len(regions) > 1 and not several:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"--roi is given {len(regions)} times: give one, this command takes one object"
        )
    roi = regions[0] if len(regions) == 1 else None
    return cls(**chosen, prompts=Prompts(roi=roi, support_height=args.support_height), config=config_from(args))
