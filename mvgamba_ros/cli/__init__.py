"""The `mvgamba` command: each module of this package is one subcommand.

A subcommand module has a docstring whose first line is its help, ``EXAMPLES`` (text, may be empty),
``add_arguments(parser)`` and ``run(args) -> int``, the exit status. It imports what costs time inside ``run``, so
that ``mvgamba --help`` is instant. Adding a file adds a subcommand.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import pkgutil
import sys
from collections.abc import Sequence

from mvgamba_ros import __version__
from mvgamba_ros.cli._words import drop_output
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.packages import check_packages

DESCRIPTION = "Metric 3D shape of an unknown object from a handful of posed camera views."


class Completion(argparse.Action):
    """Prints what a shell needs to complete this command, and ends. Raises MISSING_PACKAGE and BAD_OPTION."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option_string: str | None = None
    ) -> None:
        try:
            import shtab
        except ImportError as error:
            raise ReconstructionError(
                ErrorCode.MISSING_PACKAGE, "--completion needs the package shtab: pip install 'mvgamba_ros[completion]'"
            ) from error
        if values not in shtab.SUPPORTED_SHELLS:
            shells = ", ".join(shtab.SUPPORTED_SHELLS)
            raise ReconstructionError(ErrorCode.BAD_OPTION, f"--completion {values} is not one of {shells}")
        print(shtab.complete(parser, shell=str(values)))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``mvgamba``: a subcommand for each module of this package."""
    parser = argparse.ArgumentParser(prog="mvgamba", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--completion",
        metavar="SHELL",
        action=Completion,
        help='print completions for bash, zsh or tcsh: eval "$(mvgamba --completion bash)"; needs the package shtab',
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        first_line, _, rest = (module.__doc__ or "").partition("\n")
        subparser = subparsers.add_parser(
            info.name,
            help=first_line,
            description=f"{first_line}\n{rest}".strip(),
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; 0 when done, 1 with a line on stderr when it failed, 130 when interrupted, 141 where
    nobody reads what it prints."""
    _open_outputs()
    try:
        check_packages()
        args = build_parser().parse_args(argv)
        return args.run(args)
    except ReconstructionError as error:
        print(f"mvgamba: {error.code.name}: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mvgamba: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        drop_output()
        print("mvgamba: ended, as nobody reads its output any more", file=sys.stderr)
        return 141


def _open_outputs() -> None:
    """Lets outputs that are closed lead nowhere, also for processes that this one starts: else their numbers become
    those of a result's files. Bytes of a path that an output cannot encode are shown as such."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.set_inheritable(null, True)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, "w"))  # noqa: SIM115, PTH123  (open as long as the process)
        elif isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
