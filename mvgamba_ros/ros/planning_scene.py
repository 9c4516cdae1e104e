"""MoveIt's planning scene is kept up to date: by the topic `collision_object`, for whoever listens, and by the service
`apply_planning_scene`, which says whether the object was taken.

move_group listens to the topic without asking for what was sent before it came, so one that starts later, or anew,
would never know the objects: each second its servers are counted, and a new one is given all of them.
"""

from __future__ import annotations

import time
from typing import Any

from moveit_msgs.msg import CollisionObject
from moveit_msgs.srv import ApplyPlanningScene
from rclpy.node import Node
from std_msgs.msg import ColorRGBA, Header

from mvgamba_ros.ros.conversions.collision_objects import removal, scene_diff
from mvgamba_ros.ros.qos import latched

NEWEST = 32
"""Changes that whoever joins late sees, in their order."""
ANSWER_S = 5.0
"""A server that did not answer for so long has gone."""
MOST_TRIES = 10
"""Of a change that move_group refuses, one a second: at its start it does not know the frames of TF yet."""


class PlanningScene:
    """All of it runs in the executor's thread, and nothing waits."""

    def __init__(self, node: Node) -> None:
        self._node, self._log = node, node.get_logger()
        self._publisher = node.create_publisher(CollisionObject, "collision_object", latched(NEWEST))
        self._client: Any = node.create_client(ApplyPlanningScene, "apply_planning_scene")
        self._held: dict[str, tuple[CollisionObject, ColorRGBA]] = {}
        self._unsent: set[str] = set()
        """Names of objects, held or removed, that the servers have to learn of."""
        self._servers: set[bytes] = set()
        self._tries = 0
        self._request: tuple[Any, float] | None = None
        """The request under way, and when it was sent."""

    def add(self, added: CollisionObject, color: ColorRGBA) -> None:
        """Adds an object, or replaces the one of its id."""
        self._held[added.id] = added, color
        self._publisher.publish(added)
        self._change(added.id)

    def remove(self, name: str, header: Header) -> None:
        """Removes an object that was added."""
        if self._held.pop(name, None) is not None:
            self._publisher.publish(removal(header, name))
            self._change(name)

    def watch(self) -> None:
        """To be called each second: has a new move_group learn of all objects, and tries again what was refused."""
        present = self._present_servers()
        if present - self._servers:
            self._unsent |= set(self._held)
            self._tries = 0
        self._servers = present
        self._send()

    def _change(self, name: str) -> None:
        self._unsent.add(name)
        self._tries = 0
        self._send()

    def _present_servers(self) -> set[bytes]:
        """One identity each, so that a restart is seen even where the dead server's lease still runs."""
        if not self._client.service_is_ready():
            return set()
        replies = f"rr{self._client.service_name}Reply"
        found = self._node.get_publishers_info_by_topic(replies, no_mangle=True)
        return {bytes(info.endpoint_gid) for info in found} or {b"a server"}  # a middleware of other topic names

    def _send(self) -> None:
        if self._request is not None:
            future, sent = self._request
            if time.monotonic() - sent < ANSWER_S:
                return  # what changed meanwhile follows once it is answered
            self._request = None
            future.cancel()
            self._client.remove_pending_request(future)
        if not self._unsent or self._tries >= MOST_TRIES or not self._client.service_is_ready():
            return
        names, self._unsent = self._unsent, set()
        self._tries += 1
        held = {name: self._held[name] for name in names if name in self._held}
        gone = [removal(Header(), name) for name in names if name not in held]
        colors = {name: color for name, (_, color) in held.items()}
        scene = scene_diff([*gone, *(added for added, _ in held.values())], colors)
        future = self._client.call_async(ApplyPlanningScene.Request(scene=scene))
        self._request = future, time.monotonic()
        future.add_done_callback(lambda answered: self._on_answer(answered, names))

    def _on_answer(self, answered: Any, names: set[str]) -> None:
        if answered.cancelled():
            self._unsent |= names
            return
        self._request = None
        added = names & set(self._held)
        if answered.result().success or not added:  # a removal of what is not there is refused, too
            self._tries = 0
            if added:
                self._log.info(f"in the planning scene: {', '.join(sorted(added))}")
        else:
            self._unsent |= added
            if self._tries in (1, MOST_TRIES):
                frames = ", ".join(sorted({self._held[name][0].header.frame_id for name in added}))
                end = "trying again" if self._tries == 1 else "giving up until something changes"
                self._log.warning(
                    f"move_group refused {', '.join(sorted(added))}: does it know the frame {frames}? Its log has the "
                    f"reason; {end}"
                )
            return  # `watch` sends it again
        self._send()
