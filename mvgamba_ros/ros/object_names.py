"""Ids of objects that nobody named: object_1, object_2 and so on, each kept for the same thing from one answer to the
next."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from scipy.optimize import linear_sum_assignment

from mvgamba_ros.geometry.boxes import box_overlap, in_box
from mvgamba_ros.types import Box

MOST = 1000
"""Names that are remembered; for one more the oldest is forgotten."""


class ObjectNames:
    """Where the published objects stand, by their ids. From any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, tuple[str, Box]] = {}

    def remember(self, name: str, frame: str, box: Box) -> None:
        """The object ``name`` stands in ``box`` of ``frame``. What had another name there is this object."""
        with self._lock:
            middle = box.T_world_box[:3, 3]
            for other, (of, place) in list(self._known.items()):
                same = of == frame and in_box(place, middle) and in_box(box, place.T_world_box[:3, 3])
                if same or other == name:
                    del self._known[other]
            self._known[name] = frame, box
            if len(self._known) > MOST:
                del self._known[next(iter(self._known))]

    def forget(self) -> None:
        """No object is known any more."""
        with self._lock:
            self._known.clear()

    def choose(self, given: Sequence[str], frame: str, boxes: Sequence[Box | None]) -> list[str]:
        """The ids of several objects.

        Args:
            given: Of each object the id that it was given; empty: none.
            frame: Of ``boxes``.
            boxes: Where each stands; None: not known.

        Returns:
            The given ids. Of the other objects, each has the id of the one that is known where it stands: the middle
            of one of the two boxes lies in the other, and of all ways to pair them the overlaps are largest. What is
            left has the first free numbers.
        """
        with self._lock:
            known = {name: box for name, (of, box) in self._known.items() if of == frame and name not in given}
            taken = {*given, *self._known}
        names = list(given)
        overlaps = np.zeros((len(boxes), len(known)))
        for row, box in enumerate(boxes):
            if box is not None and not given[row]:
                overlaps[row] = [_overlap(box, other) for other in known.values()]
        for of, to in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
            if overlaps[of, to] > 0.0:
                names[of] = list(known)[to]
        number = 0
        for row, name in enumerate(names):
            while not name:
                number += 1
                name = f"object_{number}" if f"object_{number}" not in taken else ""
            names[row] = name
        return names


def _overlap(one: Box, other: Box) -> float:
    """`box_overlap`, 0 where neither's middle lies in the other."""
    if in_box(one, other.T_world_box[:3, 3]) or in_box(other, one.T_world_box[:3, 3]):
        return box_overlap(one, other)
    return 0.0
