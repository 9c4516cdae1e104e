"""Which transforms are taken, by their stamps: one from the future would expire all history, and mislead between."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mvgamba_ros.ros.conversions.stamps import NANOSECONDS
from mvgamba_ros.ros.conversions.transform_bytes import StampedTransform
from mvgamba_ros.ros.failures import one_line
from mvgamba_ros.ros.node_time import ONE_JUMP_S, StreamTime

LEAST_AHEAD_S = 1.0
"""A transform may be this far ahead of the node's clock at the least: localization stamps them by up to a second ahead
(transform_tolerance of Nav2's AMCL)."""
MOST_NAMED = 100
"""Frames that are named in the log."""


class StampGate:
    """Refuses what is stamped far ahead of ``now``, the node's clock: further than an image that is taken,
    ``max_image_age_s``, and than `LEAST_AHEAD_S`. What lies further back than the history of ``cache_s`` is left out;
    where a frame's stamps stay there, time went back, which ``jumped`` is told. Static transforms have no time."""

    def __init__(
        self,
        now: Callable[[], int],
        cache_s: float,
        max_image_age_s: Callable[[], float],
        warn: Callable[[str], object],
        jumped: Callable[[str], None],
    ) -> None:
        self._now, self._cache, self._max_image_age_s = now, int(cache_s * NANOSECONDS), max_image_age_s
        self._warn, self._jumped = warn, jumped
        self._streams: dict[str, StreamTime] = {}
        self._named: set[str] = set()
        self._cleared = -ONE_JUMP_S
        self._standing = (0, 0.0)
        self.refused = 0
        self.last_refusal = ""
        self.refused_at = float("-inf")
        """Seconds of the steady clock."""

    def admitted(self, transforms: Sequence[StampedTransform]) -> list[StampedTransform]:
        """Those of one message of moving frames that are to be taken."""
        now = self._now()
        limit_s = max(LEAST_AHEAD_S, self._max_image_age_s()) + self._stood(now)
        latest = now + int(limit_s * NANOSECONDS)
        found = []
        for transform in transforms:
            stamp, _, child, _ = transform
            if stamp > latest:
                self._refuse(transform, now, limit_s)
                continue
            stream = self._streams.get(child) or self._begin(child)
            if back := stream.seconds_back(stamp):
                self._jumped(f"the stamps of the transforms of '{one_line(child)}' went back by {back:.2f} s")
                self._begin(child).seconds_back(stamp)
            elif stream.late:
                continue
            found.append(transform)
        return found

    def _stood(self, now: int) -> float:
        """Seconds for which simulated time stands: the thread that takes /clock may be held up, and this one is not."""
        if now != self._standing[0]:
            self._standing = now, time.monotonic()
        return time.monotonic() - self._standing[1] if now else 0.0

    def clear(self) -> None:
        """Forgets all stamps. What is under way still belongs to the time before: it is not named."""
        self._cleared = time.monotonic()
        self._streams, self._named = {}, set()

    def _begin(self, child: str) -> StreamTime:
        if len(self._streams) >= 100 * MOST_NAMED:  # frames of ever new names
            self._streams = {}
        return self._streams.setdefault(child, StreamTime(self._cache))

    def _refuse(self, transform: StampedTransform, now: int, limit_s: float) -> None:
        stamp, parent, child, _ = transform
        self.refused += 1
        if time.monotonic() - self._cleared < ONE_JUMP_S:
            return
        self.refused_at = time.monotonic()
        if now == 0:
            name = ""
            self.last_refusal = "no transform is taken while nothing comes on /clock (use_sim_time)"
        else:
            name = child
            self.last_refusal = one_line(
                f"transforms of '{child}' to '{parent}' are not taken: stamped {(stamp - now) / NANOSECONDS:.2f} s "
                f"ahead of the node's clock, more than {limit_s:.3g} s. Do both machines keep one time (chrony), and "
                "do all nodes use one clock (use_sim_time)?"
            )
        if name not in self._named and len(self._named) < MOST_NAMED:
            self._named.add(name)
            self._warn(self.last_refusal)
