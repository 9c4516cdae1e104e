"""The service `~/load_views`: the views of a folder or recording, in the frame of those that are held."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.io.capture_readers import picture_sizes, read_capture
from mvgamba_ros.io.results import LARGEST_REPORT, REPORT
from mvgamba_ros.ros.bag_reader import RosBag
from mvgamba_ros.ros.captured_views import CapturedViews
from mvgamba_ros.ros.failures import Failures, one_line
from mvgamba_ros.ros.folders import confined
from mvgamba_ros.ros.outcome import Outcome
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.request_limits import LONGEST_PATH, check_length, check_pixels
from mvgamba_ros.ros.transforms import TransformSource
from mvgamba_ros.ros.view_buffer import CapturedView, ViewBuffer
from mvgamba_ros.ros.worker import Job
from mvgamba_ros.srv import LoadViews
from mvgamba_ros.types import F64, View

ANY_TIME = 1
"""A stamp, nanoseconds, before every recording: only transforms that hold for ever are known then."""
VIEWS_FOLDER = "views"
"""Where `mvgamba_ros.io.results.write_results` puts the views of a result."""


@dataclass(frozen=True)
class Source:
    """A capture to read: ``path`` and ``views_file`` as of `read_capture`, the ``frame`` of its poses, empty where that
    is not known, and whether it is a ``recording``."""

    path: Path
    views_file: str
    frame: str
    recording: bool = False


class ViewLoading:
    """Answers the service; ``in_worker`` awaits the outcome of work in the worker's thread, ``pause`` lets other
    callbacks run, ``now`` is the node's clock, nanoseconds, ``log`` takes a line."""

    def __init__(
        self,
        views: CapturedViews,
        transforms: TransformSource,
        settings: Callable[[], Parameters],
        failures: Failures,
        in_worker: Callable[[str, Callable[[Job], Outcome]], Awaitable[Outcome]],
        pause: Callable[[], Awaitable[None]],
        now: Callable[[], int],
        log: Callable[[str], Any],
    ) -> None:
        self._views, self._transforms, self._settings, self._failures = views, transforms, settings, failures
        self._in_worker, self._pause, self._now, self._log = in_worker, pause, now, log
        self.services: tuple[tuple[type, str, Callable[..., Any]], ...] = (
            (LoadViews, "~/load_views", self._on_load_views),
        )

    async def _on_load_views(self, request: LoadViews.Request, response: LoadViews.Response) -> Any:
        outcome = Outcome()
        try:
            self._named(request)  # a wrong path is refused at once, whatever runs
            outcome = await self._in_worker("load_views", lambda job: Outcome(value=self._read(request)))
            if outcome.error is None:
                response.loaded = await self._keep(outcome.value, request.keep)
        except Exception as error:
            outcome.error = self._failures.note("load_views", error)
        response.view_count = len(self._views)
        response.coverage, response.largest_gap = self._views.coverage()
        return outcome.fill(response)

    def _named(self, request: LoadViews.Request) -> Path:
        """See `readable`."""
        parameters = self._settings()
        check_length("views_file", request.views_file, LONGEST_PATH, ErrorCode.BAD_CAPTURE)
        return readable(request.path, parameters.output_dir, parameters.load_outside)

    def _read(self, request: LoadViews.Request) -> list[CapturedView]:
        """All views of the request's capture, in target_frame; in the worker's thread."""
        parameters = self._settings()
        path = self._named(request)  # once more: what lies there may have become a link since
        with boundary(ErrorCode.BAD_CAPTURE, path, "name a capture that the node's user may read"):
            source = find_source(path, request.views_file, parameters.target_frame)
        if not source.recording:  # a list of views names a file, a recording's a topic
            readable(str(source.path / source.views_file), parameters.output_dir, parameters.load_outside)
        T = self._to_target(source, parameters.target_frame)
        stamp = self._now()
        views = read_within_limits(source, parameters)
        loaded = [CapturedView(replace(v, T_world_camera=T @ v.T_world_camera), stamp) for v in views]
        for captured in loaded:
            captured.sharpness  # noqa: B018  computed here, not in the executor's thread
        known = (
            f"in frame '{source.frame}'" if source.frame else f"taken to be in target_frame '{parameters.target_frame}'"
        )
        self._log(one_line(f"{source.path}: {len(loaded)} views read, their poses {known}"))
        return loaded

    def _to_target(self, source: Source, target: str) -> F64:
        """``T_target_source``. Raises BAD_CAPTURE where the two frames are not fixed to each other by TF."""
        if source.frame in ("", target):
            return np.eye(4)
        try:
            return self._transforms.lookup(target, source.frame, ANY_TIME)
        except ReconstructionError as error:
            raise ReconstructionError(
                ErrorCode.BAD_CAPTURE,
                f"{source.path}: its poses are in frame '{source.frame}', target_frame is '{target}', and no static "
                f"transform between them is known ({error.message}): publish one, or start the node with target_frame "
                f"{source.frame}",
            ) from error

    async def _keep(self, loaded: Sequence[CapturedView], beside_the_others: bool) -> int:
        """Holds ``loaded`` and, ``beside_the_others``, those held already; returns how many came in."""
        parameters = self._settings()
        kept = self._views.snapshot() if beside_the_others else ()
        merged = ViewBuffer(kept)
        for captured in loaded:
            try:
                merged.add(captured, parameters.min_view_distance_m, parameters.max_views)
            except ReconstructionError as error:
                if error.code is not ErrorCode.DUPLICATE_VIEW:
                    raise
        added = merged.snapshot()[len(kept) :]
        self._views.replace(kept, added)
        skipped = len(loaded) - len(added)
        self._log(
            f"{len(added)} views loaded"
            + (f", {skipped} left out: within min_view_distance_m of others" if skipped else "")
        )
        for captured in added:
            await self._pause()  # a large view takes the disk a tenth of a second
            self._views.store(captured)
        return len(added)


def readable(directory: str, output_dir: str, outside: bool) -> Path:
    """The capture that a request may have read, absolute; ``outside``: whether it may lie outside ``output_dir``, or
    behind a symbolic link. Raises BAD_CAPTURE."""
    check_length("path", directory, LONGEST_PATH, ErrorCode.BAD_CAPTURE)
    if not directory:
        raise ReconstructionError(
            ErrorCode.BAD_CAPTURE, f"path is empty: name a capture's folder or file below output_dir, {output_dir}"
        )
    try:
        return confined(directory, output_dir, outside)
    except ReconstructionError as error:
        raise ReconstructionError(
            ErrorCode.BAD_CAPTURE,
            f"{directory} is not below output_dir, {output_dir}, or a symbolic link leads there: name a path below it, "
            "or start the node with another output_dir or with load_outside true",
        ) from error


def find_source(path: Path, views_file: str, target_frame: str) -> Source:
    """The capture at ``path``. What `~/save` wrote, or the views in it, knows the frame of its poses; a recording gives
    them in any of its own, which is ``target_frame`` where ``views_file`` names none."""
    if RosBag().recognises(path, views_file):
        topic, _, frame = views_file.partition("@")
        frame = frame.lstrip("/") or target_frame
        return Source(path, f"{topic}@{frame}", frame, recording=True)
    result = path
    if (path / REPORT).is_file() and (path / VIEWS_FOLDER).is_dir():
        path = path / VIEWS_FOLDER
    elif path.name == VIEWS_FOLDER:
        result = path.parent
    return Source(path, views_file, _reported_frame(result / REPORT))


def _reported_frame(report: Path) -> str:
    """The frame of a result that `~/save` wrote; empty for one of another origin. Raises BAD_CAPTURE for a report that
    cannot be read: it may well name another frame."""
    try:
        if report.exists() and not report.is_file():
            raise ValueError("not a regular file")  # to open a pipe may wait for ever
        with report.open("rb") as file:
            frame = json.loads(file.read(LARGEST_REPORT)).get("frame", "")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise ReconstructionError(
            ErrorCode.BAD_CAPTURE,
            f"{report} cannot be read, so the frame of its views is not known: mend it, or remove it where the views "
            "are in target_frame",
        ) from error
    return frame.lstrip("/") if isinstance(frame, str) else ""


def read_within_limits(source: Source, parameters: Parameters) -> list[View]:
    """The views of a capture. Raises TOO_MANY_VIEWS beyond max_views and BAD_IMAGE beyond max_view_megapixels: before a
    picture is decoded, where the capture's reader knows their sizes before; and BAD_CAPTURE."""
    if not source.recording and (sizes := picture_sizes(source.path, source.views_file)) is not None:
        _check_sizes(source, sizes, parameters)
    try:
        if source.recording:
            reader = RosBag(lambda sizes: _check_sizes(source, sizes, parameters))
            views = reader.read(source.path, source.views_file)
        else:
            views = read_capture(source.path, source.views_file)
    except ReconstructionError as error:
        if not source.recording or f"'{source.frame}'" not in error.message:
            raise
        raise ReconstructionError(
            error.code,
            f"{error.message}; name a frame of the recording in views_file (TOPIC@FRAME) that is target_frame, or that "
            "a static transform ties to it",
        ) from error
    _check_sizes(source, [(view.camera.width, view.camera.height) for view in views], parameters)
    return views


def _check_sizes(source: Source, sizes: Sequence[tuple[int, int]], parameters: Parameters) -> None:
    if len(sizes) > parameters.max_views:
        raise ReconstructionError(
            ErrorCode.TOO_MANY_VIEWS,
            f"{source.path} has {len(sizes)} views, max_views is {parameters.max_views}: name a shorter list in "
            "views_file, or raise max_views",
        )
    for index, (width, height) in enumerate(sizes):
        check_pixels(width, height, parameters.max_view_megapixels, f"{source.path}: view {index}")
