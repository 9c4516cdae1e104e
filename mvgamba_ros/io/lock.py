"""One process at a time in a folder that is filled over hours, and what is raised where it cannot be filled."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mvgamba_ros.errors import ErrorCode, ReconstructionError

LOCK = ".lock"
"""The file in a folder that a process holds."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def cannot_write(path: Path) -> Iterator[None]:
    """Around what writes ``path``: an error of the system, or of a name that is none, becomes CANNOT_WRITE with the
    path and what to do."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # also ~user of nobody, a name that is no text
        if isinstance(error, OSError) and error.errno in FULL:
            remedy = "make room there, or choose another output folder"
        else:
            remedy = "choose another output folder, or allow this one to be written"
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ReconstructionError(ErrorCode.CANNOT_WRITE, f"{path_text(path)}: {why}: {remedy}") from error


def path_text(path: str | Path) -> str:
    """Printable, also where bytes of the name are no text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace") if "\0" not in str(path) else repr(str(path))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds ``folder``, which is there, against other processes; the system frees it when this one ends, however it
    does. Raises BUSY where another holds it, CANNOT_WRITE where the folder cannot be written."""
    with cannot_write(folder):
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise ReconstructionError(
                ErrorCode.BUSY, f"{folder}: another process is writing there: wait for it, or choose another folder"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(file)
