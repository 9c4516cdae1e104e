"""Files and folders that appear whole or not at all, whatever fills the disk or ends the process.

Both are written beside their place under a name that begins with `PART`, synced to the disk, and renamed. What a
killed process left there is removed by the next one that writes beside it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.lock import LOCK, cannot_write, locked

PART = ".mvgamba-part-"
ABANDONED_S = 60.0
"""A part that no process holds and that nothing was added to for this long is left over. Set by hand: a process holds
its part within milliseconds of making it."""

AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Of Linux's renameat2."""


def write_file(path: Path, content: bytes) -> None:
    """Writes ``path``, in a folder that is there, or leaves what was there; a symbolic link is replaced, not followed.
    Raises CANNOT_WRITE."""
    part = _part_beside(path)
    with cannot_write(path):
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """For a program that writes files by itself: a new folder beside ``path``; left without an error, the file of
    ``path``'s name in it is synced and takes ``path``'s place in one step. Parents are made; a file that is there is
    replaced, a symbolic link not followed. Raises CANNOT_WRITE, with ``path`` as it was."""
    part = _part_beside(path)
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
    try:
        yield part
        with cannot_write(path):
            made = part / path.name
            with made.open("rb+") as file:
                os.fsync(file.fileno())
            made.replace(path)
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_files(folder: Path, contents: Mapping[str, bytes], last: str) -> None:
    """Writes files into ``folder``, which is made, by their paths in it. All are on the disk before the first takes its
    place; ``last``, which makes them valid, is removed before that and appears after the others. Raises CANNOT_WRITE,
    and has then changed nothing unless renaming fails."""
    part = folder / (PART + secrets.token_hex(8))
    with cannot_write(folder):
        try:
            part.mkdir(parents=True)
            for number, content in enumerate(contents.values()):
                write_file(part / str(number), content)
            for name in contents:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / last).unlink(missing_ok=True)
            order = sorted(enumerate(contents), key=lambda item: item[1] == last)
            for number, name in order:
                (part / str(number)).replace(folder / name)
            for place in {(folder / name).parent for name in contents}:
                _sync_folder(place)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def whole_folder(target: Path, obstacle: Callable[[Path], str]) -> Iterator[Path]:
    """A new folder beside ``target`` to fill by `write_file`; left without an error, it takes ``target``'s place in one
    step, and what was there is deleted; left with one, it is deleted and ``target`` is as it was.

    Args:
        target: Absolute; its parents are made. A symbolic link there is not followed.
        obstacle: Of a folder that is not empty, why it must not be deleted; empty where it may.

    Raises:
        ReconstructionError: CANNOT_WRITE. Where the filled folder cannot take its place, it stays beside it, and the
            message names it.
    """
    check_place(target, obstacle)
    _remove_abandoned(target.parent)
    part = _part_beside(target)
    with cannot_write(target):
        part.mkdir()
    try:
        with locked(part):
            yield part
            with cannot_write(target):
                (part / LOCK).unlink()
                if target.is_dir():
                    shutil.copymode(target, part)
                for folder, _, _ in os.walk(part):
                    _sync_folder(Path(folder))
    except ReconstructionError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise ReconstructionError(error.code, error.message.replace(str(part), str(target))) from error
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    try:
        _place(part, target, obstacle)
    except (OSError, ReconstructionError) as error:
        why = error.message if isinstance(error, ReconstructionError) else f"{target}: {error.strerror}"
        raise ReconstructionError(
            ErrorCode.CANNOT_WRITE, f"{why}; what was to be there is in {_kept(part, target)}"
        ) from error
    with cannot_write(target):
        _sync_folder(target.parent)


def check_place(target: Path, obstacle: Callable[[Path], str]) -> None:
    """Makes the parents of ``target`` and raises CANNOT_WRITE where `whole_folder` would fail, so that a job need not
    find out at its end. Writes nothing."""

    def refused(why: str) -> ReconstructionError:
        return ReconstructionError(ErrorCode.CANNOT_WRITE, f"{target} {why}")

    with cannot_write(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            raise refused("is a symbolic link, which is not followed: give the folder that it points to")
        if target.exists():
            if not target.is_dir():
                raise refused("is a file: choose another folder")
            if os.path.ismount(target) or target == Path.cwd():
                raise refused("is replaced as a whole, but is in use: choose a folder inside of it")
            if any(target.iterdir()) and (why := obstacle(target)):
                raise refused(f"{why}: move that away, or choose another folder")
        part = _part_beside(target)
        part.mkdir()
        part.rmdir()


def _place(part: Path, target: Path, obstacle: Callable[[Path], str]) -> None:
    try:
        part.rename(target)  # also onto an empty folder
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    check_place(target, obstacle)
    _exchange(part, target)
    if why := obstacle(part):  # came in the very last moment
        _exchange(part, target)
        raise ReconstructionError(ErrorCode.CANNOT_WRITE, f"{target} {why}: move that away, or choose another folder")
    shutil.rmtree(part)


def _exchange(a: Path, b: Path) -> None:
    """Exchanges two folders in one step; in three on a file system that cannot, ``b`` being a part meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        if libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
            raise OSError(code, os.strerror(code), str(b))
    aside = _part_beside(b)
    b.rename(aside)
    a.rename(b)
    aside.rename(a)


def _kept(part: Path, target: Path) -> Path:
    """``part`` under a name that is free and seen: that of ``target`` with a number."""
    number = 1
    while (free := target.with_name(f"{target.name}.{number}")).exists():
        number += 1
    try:
        return part.rename(free)
    except OSError:
        return part


def _part_beside(path: Path) -> Path:
    return path.with_name(PART + secrets.token_hex(8))  # short: a name may be as long as the file system takes


def _remove_abandoned(folder: Path) -> None:
    for part in folder.glob(f"{PART}*"):
        try:
            if part.is_symlink() or time.time() - part.stat().st_mtime < ABANDONED_S:
                continue
            if part.is_file():
                part.unlink()
                continue
            with locked(part):
                shutil.rmtree(part)
        except (OSError, ReconstructionError):  # another's, or one that is being written
            continue


def _sync_folder(folder: Path) -> None:
    """Its entries to the disk, where the file system has that for folders."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(number)
