"""Where the node may write and read: the folders that its parameters name, and what a request names below them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.lock import cannot_write
from mvgamba_ros.ros.request_limits import LONGEST_PATH, check_length


def writable_folder(folder: str, parameter: str) -> Path:
    """The folder, made where it is not there. Raises BAD_PARAMETER with the ``parameter``'s name where nothing can be
    written into it."""
    path = Path(folder)
    try:
        path = path.expanduser().absolute()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ReconstructionError(
            ErrorCode.BAD_PARAMETER, f"{parameter} {path}: {why}: name a folder that this user may write to"
        ) from error
    return path


def confined(directory: str, output_dir: str, outside: bool) -> Path:
    """The folder or file that a request may have written or read, absolute.

    Args:
        directory: Absolute, below "~" (or "~user"), the home of the node's user (of another), or relative to
            ``output_dir``. ".." is taken out before any link is followed.
        output_dir: Likewise; relative to where the node was started.
        outside: Whether ``directory`` may lie anywhere. If not, it lies below ``output_dir`` and no symbolic link leads
            to it from there.

    Raises:
        ReconstructionError: CANNOT_WRITE, which names the folder and the parameter to set.
    """
    check_length("directory", directory, LONGEST_PATH, ErrorCode.CANNOT_WRITE)
    with cannot_write(Path(output_dir)):
        named = Path(os.path.abspath(Path(output_dir).expanduser()))  # noqa: PTH100
        base = named.resolve()
    with cannot_write(Path(directory)):
        target = Path(os.path.abspath(named / Path(directory).expanduser()))  # noqa: PTH100
        if outside:
            return target
        inner = next((target.relative_to(root) for root in (named, base) if target.is_relative_to(root)), None)
        if inner is None or inner == Path():
            raise ReconstructionError(
                ErrorCode.CANNOT_WRITE,
                f"{target} is not inside output_dir, {base}: leave the directory out or name one relative to that, or "
                "start the node with another output_dir or with save_outside true",
            )
        if (base / inner).resolve() != base / inner:
            raise ReconstructionError(
                ErrorCode.CANNOT_WRITE,
                f"{target}: a symbolic link leads there from output_dir, {base}, and is not followed: name another "
                "directory, or start the node with save_outside true",
            )
        return base / inner
