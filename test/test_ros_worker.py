"""What nobody waits for makes nobody wait: the worker's spare work gives way."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

pytest.importorskip("rclpy")

from patience import PATIENCE

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.worker import Job, Worker

pytestmark = pytest.mark.ros


class Work:
    """Runs until it is cancelled or released."""

    def __init__(self) -> None:
        self.began, self.release, self.over, self.cancelled = (
            threading.Event(),
            threading.Event(),
            threading.Event(),
            False,
        )

    def __call__(self, job: Job) -> Callable[[], None]:
        self.began.set()
        while not (job.cancelled() or self.release.wait(0.005)):
            pass
        self.cancelled = job.cancelled()
        return self.over.set


def test_a_request_cancels_spare_work_and_is_never_busy_for_it() -> None:
    worker, spare, request = Worker(), Work(), Work()
    assert worker.start_spare("a draft", spare)
    assert spare.began.wait(PATIENCE) and not worker.busy
    worker.check_free()
    worker.start("~/save", request)
    assert worker.busy and request.began.wait(PATIENCE) and spare.over.is_set() and spare.cancelled
    with pytest.raises(ReconstructionError) as caught:
        worker.start("~/load_views", Work())
    assert caught.value.code is ErrorCode.BUSY and caught.value.message.startswith("~/save runs: wait")
    assert not worker.start_spare("a draft", Work())
    request.release.set()
    assert request.over.wait(PATIENCE) and not request.cancelled
    assert worker.close(PATIENCE) is None


def test_patient_work_comes_after_spare_work() -> None:
    worker, spare, patient = Worker(), Work(), Work()
    assert worker.start_spare("a draft", spare) and not worker.start_spare("a draft", Work())
    worker.start("~/suggest_views", patient, patient=True)
    assert spare.began.wait(PATIENCE) and not patient.began.wait(0.05) and worker.busy
    spare.release.set()
    assert patient.began.wait(PATIENCE) and not spare.cancelled
    patient.release.set()
    assert patient.over.wait(PATIENCE) and worker.close(PATIENCE) is None


def test_spare_work_ends_with_the_worker() -> None:
    worker, spare = Worker(), Work()
    assert worker.start_spare("a draft", spare) and spare.began.wait(PATIENCE)
    assert worker.close(PATIENCE) is None and spare.cancelled
    assert not worker.start_spare("a draft", Work())


def test_preparation_is_not_busy_and_what_waits_for_it_is_refused_others_by_both_names() -> None:
    worker, warming, load = Worker(), Work(), Work()
    worker.prepare("the warm-up", warming)
    assert warming.began.wait(PATIENCE) and not worker.busy
    worker.start("~/load_views", load)
    with pytest.raises(ReconstructionError, match="~/load_views waits for the warm-up: wait") as caught:
        worker.start("~/save", Work())
    assert caught.value.code is ErrorCode.BUSY
    warming.release.set()
    assert load.began.wait(PATIENCE) and not warming.cancelled
    load.release.set()
    assert load.over.wait(PATIENCE) and worker.close(PATIENCE) is None


def test_preparation_is_cancelled_with_the_worker_and_none_begins_after() -> None:
    worker, warming, later = Worker(), Work(), Work()
    worker.prepare("the warm-up", warming)
    worker.prepare("the next", later)
    assert warming.began.wait(PATIENCE)
    assert worker.close(PATIENCE) is None and warming.cancelled and not later.began.is_set()


def test_what_ignores_its_cancelling_is_named_and_whether_anyone_waits_for_it() -> None:
    for awaited in (True, False):
        worker, began, release = Worker(), threading.Event(), threading.Event()

        def deaf(job: Job, began: threading.Event = began, release: threading.Event = release) -> Callable[[], None]:
            began.set()
            release.wait(PATIENCE)
            return lambda: None

        if awaited:
            worker.start("deaf", deaf)
        else:
            worker.prepare("deaf", deaf)
        assert began.wait(PATIENCE)
        left = worker.close(0.01)
        assert left is not None and (left.name, left.awaited) == ("deaf", awaited)
        release.set()
