"""Work in the worker's thread, awaited by a coroutine of the node."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from rclpy.task import Future

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.outcome import Outcome
from mvgamba_ros.ros.worker import Job, Worker

SHUT_DOWN = "the node shut down before the work was done"


class AwaitedWork:
    """What the callbacks of ``node`` give to its ``worker``."""

    def __init__(self, node: Node, worker: Worker, failures: Failures) -> None:
        self._node, self._worker, self._failures = node, worker, failures
        self._answer: Future[Outcome] | None = None
        self._wake = node.create_guard_condition(lambda: None)

    async def __call__(self, what: str, work: Callable[[Job], Outcome], patient: bool = False) -> Outcome:
        """The outcome of ``work``, run by the worker; BUSY at once while it has other work. ``what`` is the service
        that asks for it, ``patient``: see `Worker.start`."""
        future: Future[Outcome] = Future(executor=self._node.executor)

        def guarded(job: Job) -> Callable[[], None]:
            try:
                outcome = work(job)
            except Exception as error:
                if self._worker.closing and getattr(error, "code", None) is ErrorCode.CANCELLED:
                    error = ReconstructionError(ErrorCode.SHUTTING_DOWN, SHUT_DOWN)
                outcome = Outcome(error=self._failures.note(what, error))

            def report() -> None:
                if self._node.context.ok() and not future.done():  # else the node is gone, or has given up
                    future.set_result(outcome)
                    self._wake.trigger()

            return report

        try:
            name = "a reconstruction" if what == "reconstruct" else f"~/{what}"  # services and actions ask for one
            self._worker.start(name, guarded, patient)
        except ReconstructionError as error:
            return Outcome(error=self._failures.note(what, error))
        self._answer = future
        outcome = await future
        assert outcome is not None
        return outcome

    def give_up(self) -> None:
        """Answers the request that is under way, if any, without the outcome of its work."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Outcome(error=ReconstructionError(ErrorCode.SHUTTING_DOWN, SHUT_DOWN)))
