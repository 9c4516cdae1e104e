"""One thread that owns the model. It takes one piece of work at a time; a second is refused at once. What nobody waits
for gives way to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from mvgamba_ros.errors import ErrorCode, ReconstructionError


class Job:
    """Work under way. ``name`` tells people what it is, ``awaited`` whether anyone waits for it. `cancel` makes it stop
    at its next poll of `cancelled`."""

    def __init__(self, name: str, work: Callable[[Job], Callable[[], None]], awaited: bool = False) -> None:
        self.name, self._work, self.awaited = name, work, awaited
        self._cancel = threading.Event()

    def cancel(self) -> None:
        self._cancel.set()

    def cancelled(self) -> bool:
        return self._cancel.is_set()

    def run(self) -> Callable[[], None]:
        return self._work(self)


class Worker:
    """The thread. ``work`` given to `start` must not raise; it returns a function that reports its outcome, called once
    the worker is free again, so that a client can start the next work as soon as it has the outcome."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._running: Job | None = None  # what the thread is at; _current may wait for it
        self._current: Job | None = None
        self._spare: Job | None = None
        self._closing = False
        # A daemon, so that work which ignores its cancelling cannot keep a stopped process alive.
        self._thread = threading.Thread(target=self._loop, name="reconstruction", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        return self._current is not None

    @property
    def closing(self) -> bool:
        return self._closing

    def check_free(self) -> None:
        """Raises BUSY while work runs, SHUTTING_DOWN once `refuse_more` was called."""
        if self._closing:
            raise ReconstructionError(ErrorCode.SHUTTING_DOWN, "the node is shutting down")
        current, running = self._current, self._running
        if current is not None:
            first = f"waits for {running.name}" if running not in (None, current) else "runs"
            raise ReconstructionError(
                ErrorCode.BUSY, f"{current.name} {first}: wait for its answer, or cancel it where it is an action"
            )

    def start(self, name: str, work: Callable[[Job], Callable[[], None]], patient: bool = False) -> Job:
        """Begins ``work``, or raises what `check_free` raises. Work of `start_spare` under way is cancelled for it, or,
        where it is ``patient``, comes first."""
        with self._lock:
            self.check_free()
            if self._spare is not None and not patient:
                self._spare.cancel()
            self._current = job = Job(name, work, awaited=True)
        self._queue.put(job)
        return job

    def start_spare(self, name: str, work: Callable[[Job], Callable[[], None]]) -> bool:
        """Begins work that nobody waits for and that makes nobody wait: it does not count as busy. False, and nothing
        is begun, where any other is under way."""
        with self._lock:
            if self._closing or self._current is not None or self._spare is not None:
                return False
            self._spare = job = Job(name, work)
        self._queue.put(job)
        return True

    def prepare(self, name: str, work: Callable[[Job], None]) -> None:
        """Queues work that makes later work faster and must not raise. It does not count as busy: what is started
        meanwhile waits for its turn. None of it begins once `refuse_more` was called."""

        def unless_closing(job: Job) -> Callable[[], None]:
            if not self._closing:
                work(job)
            return lambda: None

        self._queue.put(Job(name, unless_closing))

    def refuse_more(self) -> None:
        """Takes no more work and cancels what runs."""
        with self._lock:
            self._closing = True
            for job in (self._running, self._current, self._spare):
                if job is not None:
                    job.cancel()

    def close(self, timeout_s: float) -> Job | None:
        """Ends the thread; returns the work that did not stop in time, if any."""
        self.refuse_more()
        self._queue.put(None)
        self._thread.join(timeout_s)
        return self._running

    def _run(self, job: Job) -> None:
        with self._lock:
            self._running = job
        report = job.run()
        with self._lock:
            self._running = None
            if job is self._spare:
                self._spare = None
            elif job is self._current:
                self._current = None
        report()

    def _loop(self) -> None:
        while (job := self._queue.get()) is not None:
            self._run(job)
