"""Which convention poses were written in, found by trying: OpenCV's or OpenGL's camera axes, world-to-camera, a link's
frame in place of the optical one, a mirrored world, quaternions in another order, a turned camera.

Under the right convention, points that look alike in two pictures satisfy the epipolar constraint and lie in front of
both cameras (Hartley, Zisserman, "Multiple View Geometry", 2004, chapter 9). Where pictures have too little in common,
optical axes that meet in front of all cameras, which look down, are a weaker sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from mvgamba_ros.config.pose_conventions_config import PoseConventionsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.rays import axes_intersection
from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL, check_rigid, inverse, transform
from mvgamba_ros.types import F64, View

_LINK_FROM_OPTICAL: F64 = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Takes optical axes (x right, y down, z forward) to a link's (x forward, y left, z up), as REP 103 has both."""
_X, _Y, _Z = (np.diag([-1.0 if k == axis else 1.0 for k in range(4)]) for axis in range(3))

_GL = OPENCV_FROM_OPENGL
AXES = (
    "have the camera axes of OpenGL (y up, z back) where OpenCV's (y down, z forward) are expected, or OpenCV's in a "
    "file of OpenGL's: turn each camera half a turn about its x axis"
)
INVERTED = "are world-to-camera where camera-to-world is expected: invert them"
LINK = (
    "are those of a link frame (x forward, z up) where its optical frame (z forward, y down) is expected: give the "
    "optical frame, in the node by the image's frame_id or by camera_frame"
)
MIRRORED = (
    "are of a mirrored (left-handed) world, as in Unity or Unreal: mirror one axis of the world and the same axis of "
    "each camera, so that x, y and z are right-handed"
)
TURNED = (
    "are of a camera that is turned about its optical axis: turn the pictures, their masks and intrinsics back, or the "
    "poses with them (a camera mounted upside down, or a driver that turns pictures)"
)
REORDERED = "were made from quaternions in another order: ROS has x, y, z, w, many libraries w, x, y, z"


def _reordered(T: F64, shift: int) -> F64:
    """Poses (N, 4, 4) from quaternions whose four numbers, x, y, z, w of ``T``, are moved on by ``shift``."""
    out: F64 = T.copy()
    q = Rotation.from_matrix(T[:, :3, :3]).as_quat()
    out[:, :3, :3] = Rotation.from_quat(np.roll(q, shift, axis=1)).as_matrix()
    return out


CONVENTIONS: tuple[tuple[str, Callable[[F64], F64]], ...] = (
    (AXES, lambda T: T @ _GL),
    (INVERTED, inverse),
    (INVERTED, lambda T: inverse(T @ _GL)),
    (INVERTED, lambda T: inverse(T) @ _GL),
    (INVERTED, lambda T: inverse(T @ _GL) @ _GL),
    (LINK, lambda T: T @ _LINK_FROM_OPTICAL),
    (LINK, lambda T: T @ _GL @ _LINK_FROM_OPTICAL),
    *((MIRRORED, lambda T, a=world, b=camera: a @ T @ b) for world in (_Y, _Z) for camera in (_X, _Y, _Z)),
    *((REORDERED, lambda T, k=shift: _reordered(T, k)) for shift in (1, -1)),
    (TURNED, lambda T: T @ _X @ _Y),
)
"""What is wrong with the poses, the most frequent first, and the OpenCV camera-to-world poses (N, 4, 4) behind them."""


MOST_UP = 0.2
"""Cameras all around a thing that stands look down on it; handheld ones may look up by this much on average, sine."""
UPRIGHT = 0.3
"""Where pictures prove nothing, only conventions under which they are upright on average are likely, cosine."""
EXPLAINED = {
    ErrorCode.BAD_POSE,
    ErrorCode.BAD_ROI,
    ErrorCode.ROI_NOT_VISIBLE,
    ErrorCode.DUPLICATE_VIEW,
    ErrorCode.TOO_FEW_VIEWS,
    ErrorCode.EMPTY_SILHOUETTE,
    ErrorCode.SILHOUETTES_DISAGREE,
    ErrorCode.EMPTY_SURFACE,
}
"""Failures that poses of another convention may be the cause of."""


@dataclass(frozen=True)
class Finding:
    """``words``: what the poses are and what to do, an entry of `CONVENTIONS`; ``agreeing``: pairs of points that agree
    under it; ``given``: under the poses as they are; ``matches``: of all; ``certain``: the pictures prove it."""

    words: str
    agreeing: int
    given: int
    matches: int
    certain: bool

    def sentence(self) -> str:
        """What the poses look like, the evidence and the remedy."""
        return (
            f"the poses look as if they {self.words} ({self.agreeing} of {self.matches} points that look alike in two "
            f"pictures agree then, {self.given} as the poses are given)"
        )


@dataclass(frozen=True)
class _Matches:
    """Points that look alike in views ``i`` and ``j``: (N, 3) rays in each camera's frame, z = 1; ``focal`` of j."""

    i: int
    j: int
    rays_i: F64
    rays_j: F64
    focal: float


def recognise(views: Sequence[View], config: PoseConventionsConfig) -> Finding | None:
    """The convention under which ``views`` make sense, where they do not as given; None where no other does clearly
    better. Distortion is neglected. At most ``config.views`` of them are compared."""
    views = views[:: max(1, -(-len(views) // config.views))]
    if len(views) < 2:
        return None
    poses = np.stack([view.T_world_camera for view in views])
    matches = _match(views, config)
    total = sum(len(pair.rays_i) for pair in matches)
    given = _agreeing(poses, matches, config)
    tried = [(words, convert(poses)) for words, convert in CONVENTIONS]
    agreeing = [_agreeing(converted, matches, config) for _, converted in tried]
    # several agree with the pictures: they differ by a turn of the world, or the object is symmetric
    sensible = [k for k, (_, converted) in enumerate(tried) if _meet(converted, views) and _from_above(converted)]
    most = max((agreeing[k] for k in sensible), default=0)
    if most >= max(config.min_agreeing, config.factor * given, config.min_share * total):
        first = next(k for k in sensible if agreeing[k] >= config.near_best * most)
        return Finding(tried[first][0], agreeing[first], given, total, certain=True)
    upright = [k for k in sensible if _upright(tried[k][1]) > UPRIGHT]
    if not upright or given or (_meet(poses, views) and _from_above(poses)):
        return None
    return Finding(tried[upright[0]][0], agreeing[upright[0]], given, total, certain=False)


@contextmanager
def naming_conventions(views: Sequence[View], config: PoseConventionsConfig) -> Iterator[None]:
    """Makes failures of what runs inside that come from ``views`` of another convention BAD_POSE, which names it; where
    it is only likely, the failure's message names it."""
    try:
        yield
    except ReconstructionError as error:
        finding = recognise(views, config) if error.code in EXPLAINED and _rigid(views) else None
        if finding is None:
            raise
        code, message = error.code, f"{error.message}. Perhaps the poses {finding.words}"
        if finding.certain:
            code, message = ErrorCode.BAD_POSE, f"{finding.sentence()}. As they are: {error.message}"
        raise ReconstructionError(code, message) from error


def refuse_other_conventions(views: Sequence[View], suspected: bool, config: PoseConventionsConfig) -> None:
    """Raises BAD_POSE where the pictures prove that the poses of ``views`` are of another convention. Tried only where
    that is ``suspected``, or where all pictures are upside down, as those of some mirrored worlds are: their shapes may
    look right."""
    if suspected or all(view.T_world_camera[2, 1] > UPRIGHT for view in views):
        finding = recognise(views, config)
        if finding is not None and finding.certain:
            raise ReconstructionError(ErrorCode.BAD_POSE, finding.sentence())


def _rigid(views: Sequence[View]) -> bool:
    try:
        return all(check_rigid(view.T_world_camera) is not None for view in views)
    except ReconstructionError:
        return False


def _match(views: Sequence[View], config: PoseConventionsConfig) -> list[_Matches]:
    """Mutual nearest SIFT features of each two views that pass the ratio test (Lowe, IJCV 2004)."""
    detector, matcher = cv2.SIFT_create(config.features), cv2.BFMatcher()  # type: ignore[attr-defined]
    points, descriptors = [], []
    for view in views:
        grey = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, config.side / max(grey.shape))
        found, described = detector.detectAndCompute(
            cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), None
        )
        pixels = (np.array([point.pt for point in found]).reshape(-1, 2) + 0.5) / scale
        K = view.camera.K
        points.append(np.column_stack([(pixels - K[:2, 2]) / [K[0, 0], K[1, 1]], np.ones(len(pixels))]))
        descriptors.append(described)
    pairs = []
    for j in range(len(views)):
        for i in range(j):
            if min(len(points[i]), len(points[j])) < 2:
                continue
            back = {m.queryIdx: m.trainIdx for m in matcher.match(descriptors[j], descriptors[i])}
            close = [
                (first.queryIdx, first.trainIdx)
                for first, second in matcher.knnMatch(descriptors[i], descriptors[j], k=2)
                if first.distance < config.ratio * second.distance and back[first.trainIdx] == first.queryIdx
            ]
            rows = np.array(close, dtype=int).reshape(-1, 2)
            pairs.append(_Matches(i, j, points[i][rows[:, 0]], points[j][rows[:, 1]], float(views[j].camera.K[0, 0])))
    return pairs


def _agreeing(poses: F64, matches: Sequence[_Matches], config: PoseConventionsConfig) -> int:
    """Pairs of points within ``config.tolerance`` pixels of each other's epipolar line, in front of both cameras."""
    count = 0
    for pair in matches:
        T = inverse(poses[pair.j]) @ poses[pair.i]
        a, b, t = pair.rays_i @ T[:3, :3].T, pair.rays_j, T[:3, 3]
        line = np.cross(t, a)  # of view j
        off = np.abs((line * b).sum(axis=1)) * pair.focal
        aa, bb, ab, at, bt = ((x * y).sum(axis=1) for x, y in ((a, a), (b, b), (a, b), (a, t + 0 * a), (b, t + 0 * b)))
        apart = aa * bb - ab * ab  # the points of the two rays that are nearest to each other, z-depths z_i and z_j
        in_front = (ab * bt - bb * at > 0.0) & (aa * bt - ab * at > 0.0) & (apart > 1e-9)
        count += int((in_front & (off <= config.tolerance * np.hypot(line[:, 0], line[:, 1]))).sum())
    return count


def _upright(poses: F64) -> float:
    """Mean of how far up in the world the pictures' upward direction points."""
    return float(-poses[:, 2, 1].mean())


def _from_above(poses: F64) -> bool:
    """Whether the optical axes point down on average, or hardly up."""
    return float(poses[:, 2, 2].mean()) < MOST_UP


def _meet(poses: F64, views: Sequence[View]) -> bool:
    """Whether the optical axes meet in front of all cameras, inside their pictures."""
    middle = axes_intersection(poses[:, :3, 3], poses[:, :3, 2])
    if middle is None:
        return False
    for T, view in zip(poses, views, strict=True):
        x, y, z = view.camera.K @ transform(inverse(T), middle)
        if not (z > 0.0 and 0.0 <= x <= z * view.camera.width and 0.0 <= y <= z * view.camera.height):
            return False
    return True
