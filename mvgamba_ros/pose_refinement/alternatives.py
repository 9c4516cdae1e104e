"""Poses that may be meant where those given contradict the pictures: turned, exchanged, or late by one picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mvgamba_ros.config.pose_refinement_config import PoseRefinementConfig
from mvgamba_ros.pose_refinement.evidence import Agreement, PoseEvidence
from mvgamba_ros.pose_refinement.twists import corrected
from mvgamba_ros.types import F64, Bool, View


@dataclass(frozen=True)
class Alternative:
    """Other poses for all views, (V, 4, 4), and what that means in words, or the same and twists (V, 6) to start the
    search for their correction at."""

    T_world_camera: F64
    words: str = ""
    start: F64 | None = None

    @property
    def poses(self) -> F64:
        """(V, 4, 4) at the start."""
        return self.T_world_camera if self.start is None else corrected(self.T_world_camera, self.start)


def turned(T_world_camera: F64, views: Sequence[int], step: float, rings: int) -> Iterator[Alternative]:
    """The cameras of ``views`` turned alike about their x and y axes, in up to ``rings`` steps of ``step`` radians."""
    for x in range(-rings, rings + 1):
        for y in range(-rings, rings + 1):
            if not x and not y:
                continue
            twists = np.zeros((len(T_world_camera), 6))
            twists[list(views), 0], twists[list(views), 1] = x, y
            yield Alternative(T_world_camera, start=step * twists)


def exchanged(T_world_camera: F64, views: Sequence[int], names: Sequence[str]) -> Iterator[Alternative]:
    """Two of ``views`` with each other's pose."""
    for i, j in combinations(views, 2):
        order = np.arange(len(T_world_camera))
        order[[i, j]] = j, i
        yield Alternative(T_world_camera[order], f"the poses of {names[i]} and {names[j]} are exchanged")


def shifted(T_world_camera: F64) -> Iterator[Alternative]:
    """Each view with the pose of the one after it, or before it; the last, or first, with the one left over."""
    for step, words in (
        (1, "each picture has the pose of the next one"),
        (-1, "each picture has the pose of the one before"),
    ):
        yield Alternative(np.roll(T_world_camera, step, axis=0), words)


def best_alternative(
    evidence: PoseEvidence, given: F64, before: Agreement, found: Agreement, names: Sequence[str]
) -> Alternative | None:
    """The poses other than the ``given`` (V, 4, 4) under which the views agree most on the plane; None where they are
    not compared there. ``before``: how they agree under the poses given; ``found``: under the best correction of them.
    """
    config, everyone = evidence.config, list(range(len(given)))
    tried = list(shifted(given))
    suspects = _suspects(before, config) if len(given) > config.exchange_all else everyone
    if len(suspects) < len(given) or len(given) <= config.exchange_all:
        tried += exchanged(given, suspects, names)  # among many, two exchanged poses leave most views agreeing
    single, step = _suspects(found, config), evidence.search_step
    for view in single if len(single) < len(given) / 2 else []:
        tried += turned(given, [view], step, config.search_rings)
    tried += turned(given, everyone, step, config.search_rings)
    scores = [evidence.score(alternative.poses) for alternative in tried]
    return tried[int(np.nanargmax(scores))] if np.isfinite(scores).any() else None


def other_focal_length(evidence: PoseEvidence, views: Sequence[View], T_world_camera: F64, score: float) -> list[str]:
    """A reason where the views agree much better than by ``score`` with another focal length than the one given."""
    config = evidence.config
    scales = np.geomspace(1.0 / config.focal_range, config.focal_range, config.focal_steps)
    scores = [evidence.with_focal_length(float(scale)).score(T_world_camera) for scale in scales]
    if not np.isfinite(scores).any() or np.nanmax(scores) < score + config.min_gain:
        return []
    return [intrinsics_doubt(float(scales[int(np.nanargmax(scores))]), views)]


def intrinsics_doubt(scale: float, views: Sequence[View]) -> str:
    """The reason where the views agree with ``scale`` times their focal length."""
    focal = float(views[0].camera.K[0, 0])
    return (
        f"the pictures agree with a focal length of about {scale * focal:.0f} px, not the {focal:.0f} px given: are "
        "the intrinsics another camera's, or of another image size?"
    )


def _suspects(agreement: Agreement, config: PoseRefinementConfig) -> list[int]:
    """Views outside the largest group that agrees; all where that is no more than half of them."""
    groups = agreeing(agreement.correlation, config.min_correlation)
    count = len(agreement.correlation)
    return sorted(set(range(count)) - set(groups[0])) if 2 * len(groups[0]) > count else list(range(count))


def agreeing(correlation: F64, least: float) -> list[list[int]]:
    """Groups of views, the largest first, that are connected by pairs whose ``correlation`` (V, V) is above
    ``least``."""
    left, groups = set(range(len(correlation))), []
    while left:
        group, border = set(), {left.pop()}
        while border:
            view = border.pop()
            group.add(view)
            border |= {j for j in left if correlation[view, j] > least}
            left -= border
        groups.append(sorted(group))
    return sorted(groups, key=len, reverse=True)


def contradicting(agreement: Agreement, config: PoseRefinementConfig) -> tuple[int, ...]:
    """Views outside the group of more than half of the views that agree on the plane; none where no group is that
    large."""
    correlation = agreement.correlation
    groups = agreeing(correlation, config.min_correlation)
    compared: Bool = np.isfinite(correlation).any(axis=1)  # type: ignore[assignment]
    if 2 * len(groups[0]) <= len(correlation):
        return ()
    return tuple(sorted(v for group in groups[1:] for v in group if compared[v]))
