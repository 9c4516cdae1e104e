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
    assert worker.start_spare(spare)
    assert spare.began.wait(PATIENCE) and not worker.busy
    worker.check_free()
    worker.start(request)
    assert worker.busy and request.began.wait(PATIENCE) and spare.over.is_set() and spare.cancelled
    with pytest.raises(ReconstructionError) as caught:
        worker.start(Work())
    assert caught.value.code is ErrorCode.BUSY and "~/save" in caught.value.message  # whatever it is that runs
    assert not worker.start_spare(Work())
    request.release.set()
    assert request.over.wait(PATIENCE) and not request.cancelled
    assert worker.close(PATIENCE)


def test_patient_work_comes_after_spare_work() -> None:
    worker, spare, patient = Worker(), Work(), Work()
    assert worker.start_spare(spare) and not worker.start_spare(Work())
    worker.start(patient, patient=True)
    assert spare.began.wait(PATIENCE) and not patient.began.wait(0.05) and worker.busy
    spare.release.set()
    assert patient.began.wait(PATIENCE) and not spare.cancelled
    patient.release.set()
    assert patient.over.wait(PATIENCE) and worker.close(PATIENCE)


def test_spare_work_ends_with_the_worker() -> None:
    worker, spare = Worker(), Work()
    assert worker.start_spare(spare) and spare.began.wait(PATIENCE)
    assert worker.close(PATIENCE) and spare.cancelled
    assert not worker.start_spare(Work())
