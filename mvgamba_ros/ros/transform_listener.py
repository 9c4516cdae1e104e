"""/tf and /tf_static, received in a thread of its own: a fast arm must not hold up the node's requests, nor they it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS
from mvgamba_ros.ros.conversions.transform_bytes import StampedTransform, read_transforms
from mvgamba_ros.ros.node_time import NodeTime
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.qos import latched
from mvgamba_ros.ros.tf2_buffer import Tf2Buffer
from mvgamba_ros.ros.transform_stamps import StampGate
from mvgamba_ros.ros.transforms import MOST_NAME, TransformBuffer, TransformSource
from mvgamba_ros.types import F64

QUEUE = 1000
"""Messages that wait at most: two seconds of a 500 Hz controller."""
POLL_S = 0.01
"""Period of taking what waits. An executor, which wakes for each message, costs six times as much as the transforms of
an arm do."""
BEHIND_S = 0.1
"""A message that waited longer came late for the image that it belongs to."""
BEHIND_FOR_S = 1.0
"""Only a listener that is behind for this long cannot keep up; a moment is a collection of garbage."""


class Store(TransformSource, Protocol):
    """What a listener fills."""

    def take(self, transforms: Iterable[StampedTransform], static: bool) -> None: ...

    def clear(self) -> None: ...


class TransformListener:
    """`TransformSource` of what comes on /tf and /tf_static, as ``gate`` admits it. `close` ends its thread."""

    def __init__(self, node: Node, name: str, store: Store, gate: StampGate) -> None:
        self.name, self.gate = name, gate
        """``name``: whose buffer keeps the frames."""
        self._store, self._logger = store, node.get_logger()
        self._stopping = threading.Event()
        self._judging = threading.RLock()
        """Held from the judgement of a message until it is kept: none of the time before a jump comes in after it."""
        self.messages, self.malformed = 0, 0
        self.lag_s = 0.0
        """How long the newest message had waited in the queue."""
        self._behind_since: float | None = None
        self._warned = False
        # A node of its own, which no executor serves: hidden, and without services.
        self._node = Node(
            f"_{node.get_name()}_tf",
            context=node.context,
            namespace=node.get_namespace(),
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        self.topics = {topic: node.resolve_topic_name(topic) for topic in ("/tf", "/tf_static")}
        subscribe = self._node.create_subscription
        self._moving, self._static = (
            subscribe(TFMessage, self.topics[topic], lambda message: None, qos, raw=True)
            for topic, qos in (("/tf", QoSProfile(depth=QUEUE)), ("/tf_static", latched(QUEUE)))
        )
        self._thread = threading.Thread(target=self._run, name="transforms", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._node.context.ok() and not self._stopping.wait(POLL_S):
            try:
                self._take_all()
            except Exception as error:  # of one message, which must not end all others
                self._logger.error(f"transforms: {type(error).__name__}: {error}", throttle_duration_sec=10.0)

    def _take_all(self) -> None:
        """Takes what waits; first the static joints, on which the others hang."""
        for message, _ in _waiting(self._static):
            self._store.take(self._read(message), static=True)
        for message, received in _waiting(self._moving):
            self._note_lag(received)
            self._keep(self._read(message))

    def _keep(self, transforms: Sequence[StampedTransform]) -> None:
        with self._judging:
            self._store.take(self.gate.admitted(transforms), static=False)

    def _read(self, message: bytes) -> list[StampedTransform]:
        self.messages += 1
        try:
            return [found for found in read_transforms(message) if max(len(found[1]), len(found[2])) <= MOST_NAME]
        except ValueError as error:
            self.malformed += 1
            self._logger.warning(f"transforms: {error}; it is left out", throttle_duration_sec=10.0)
            return []

    def _note_lag(self, received: int) -> None:
        """``received``: when DDS got the message, system time in nanoseconds; 0 where the middleware does not tell."""
        self.lag_s = max(0.0, (time.time_ns() - received) / NANOSECONDS) if received else 0.0
        if self.lag_s <= BEHIND_S:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = time.monotonic()
        elif self.behind and not self._warned:
            self._warned = True
            self._logger.warning(f"{self.explain_lag()} (said once; /diagnostics goes on)")

    @property
    def behind(self) -> bool:
        """Whether transforms come faster than they are taken."""
        since = self._behind_since
        return since is not None and time.monotonic() - since > BEHIND_FOR_S

    def explain_lag(self) -> str:
        """How far behind the listener is, and what to do about it."""
        return (
            f"transforms wait {self.lag_s:.2f} s before they are taken, and some are lost: they come faster than this "
            "machine takes them; publish /tf less often, or give the node more of the processor"
        )

    def lookup(self, target: str, source: str, stamp: int) -> F64:
        """See `TransformSource`."""
        try:
            return self._store.lookup(target, source, stamp)
        except ReconstructionError as error:
            if error.code is ErrorCode.TRANSFORM_UNAVAILABLE and (why := self.refusal()):
                raise ReconstructionError(error.code, f"{error.message} ({why})") from None
            raise

    def refusal(self, within_s: float = 2.0) -> str:
        """Why transforms were refused by their stamps in the last ``within_s`` seconds, or ""."""
        return self.gate.last_refusal if time.monotonic() - self.gate.refused_at <= within_s else ""

    def ancestors(self, frame: str) -> list[str]:
        """See `TransformSource`."""
        return self._store.ancestors(frame)

    def forget(self) -> None:
        """Forgets the moving frames, as where time jumped."""
        with self._judging:
            self._store.clear()
            self.gate.clear()

    def close(self, timeout_s: float = 1.0) -> None:
        """Ends the thread, which is left behind where it does not end in time."""
        self._stopping.set()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._node.destroy_node()


def _waiting(subscription: Any) -> Iterator[tuple[bytes, int]]:
    """The serialized messages that wait, and when each was received, as long as there are any."""
    with subscription.handle:  # it must not be destroyed meanwhile
        for _ in range(QUEUE):
            taken = subscription.handle.take_message(subscription.msg_type, True)
            if taken is None:
                return
            yield taken[0], int(taken[1]["received_timestamp"])


def listen(node: Node, node_time: NodeTime, settings: Callable[[], Parameters]) -> TransformListener:
    """The listener of ``node``, which forgets where time jumps: with tf2_ros's buffer where that is installed, with the
    package's own where it is not, or cannot be imported, which the log says as an error."""
    parameters = settings()
    warn = node.get_logger().warning
    gate = StampGate(node_time.now, parameters.tf_cache_s, lambda: settings().max_image_age_s, warn, node_time.jumped)
    name, store = choose_store(node, parameters, node_time.now)
    listener = TransformListener(node, name, store, gate)
    node_time.forget.append(listener.forget)
    return listener


def choose_store(node: Any, parameters: Parameters, now: Callable[[], int]) -> tuple[str, Store]:
    """Whose buffer is used, and the buffer."""
    if find_spec("tf2_ros") is not None:
        try:
            return "tf2_ros", Tf2Buffer(node, parameters.tf_cache_s)
        except Exception as error:
            node.get_logger().error(
                f"tf2_ros is installed but does not work ({type(error).__name__}: {error}); the node's own buffer of "
                "transforms is used. Source the right ROS environment, or repair it"
            )
    return "own", TransformBuffer(parameters.tf_cache_s, parameters.max_tf_frames, now)
