"""One process at a time in a folder that is filled over hours."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mvgamba_ros.errors import ErrorCode, ReconstructionError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds ``folder``, which is there, against other processes; the system frees it when this one ends, however it
    does. Raises BUSY where another holds it."""
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise ReconstructionError(
                ErrorCode.BUSY, f"{folder}: another process is writing there: wait for it, or choose another folder"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
