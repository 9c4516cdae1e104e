"""Where the object may be: a box in the world, and the window of each image that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.config.segmentation_config import WindowConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import crop, project, resample
from mvgamba_ros.geometry.rays import axes_intersection
from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.geometry.view_spread import spread_views
from mvgamba_ros.segmentation.color_model import to_lab
from mvgamba_ros.types import F32, F64, Bool, Box, Camera, Prompts, View, view_name


@dataclass(frozen=True)
class Window:
    """The part of one view that is worked on, shrunk: ``camera`` (h, w) is what shows it.

    ``lab`` (h, w, 3) float32 CIE L*a*b*; ``allowed`` (h, w): the object may be here; ``on``, ``off`` (h, w): point
    prompts; ``depth`` (h, w) float32 metres, 0 where unknown; ``rect`` (x0, y0, x1, y1) in the view's own pixels.
    """

    camera: Camera
    T_world_camera: F64
    rect: tuple[int, int, int, int]
    rgb: np.ndarray
    lab: F32
    allowed: Bool
    on: Bool
    off: Bool
    depth: F32 | None

    @property
    def shape(self) -> tuple[int, int]:
        return self.camera.height, self.camera.width


def _corners(box: Box, steps: int = 2) -> F64:
    """(steps**3, 3) world points spread evenly over a box, its corners among them."""
    line = np.linspace(-0.5, 0.5, steps)
    grid: F64 = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    return transform(box.T_world_box, (grid * box.size).astype(np.float64))


def common_region(
    views: Sequence[View], prompts: Prompts, config: WindowConfig = WindowConfig(), whole: float = 1.0
) -> Box:
    """A cube around the point at which all cameras aim, as large as a share ``whole`` of the views shows it whole.

    The object is taken to be "somewhere in the middle of all views": the point is where the optical axes meet, in the
    least-squares sense; a pixel box's or prompted points' middle stands for the axis where there is one. A single
    view with a pixel box gets the box behind it. Raises BAD_ROI where the axes do not meet in front of
    the cameras, as with one view or with parallel axes.
    """
    if len(views) == 1 and 0 in prompts.pixel_boxes:
        return _behind(views[0], prompts.pixel_boxes[0], config)
    if len(views) < 2:
        raise ReconstructionError(
            ErrorCode.BAD_ROI,
            "one view alone does not say where the object is: give a region of interest or a pixel box",
        )
    eyes = [view.T_world_camera[:3, 3] for view in views]
    aims = [aim(view, index, prompts) for index, view in enumerate(views)]
    center = axes_intersection(eyes, aims, config.min_axis_spread)
    if center is None:
        raise ReconstructionError(
            ErrorCode.BAD_ROI, "the cameras' axes are parallel, so the views have no middle: give a region of interest"
        )
    radii = []
    for index, view in enumerate(views):
        x, y, z = transform(inverse(view.T_world_camera), center[None])[0]
        K, camera = view.camera.K, view.camera
        edges = np.array(
            [
                [K[0, 0], 0.0, K[0, 2]],
                [-K[0, 0], 0.0, camera.width - K[0, 2]],
                [0.0, K[1, 1], K[1, 2]],
                [0.0, -K[1, 1], camera.height - K[1, 2]],
            ]
        )
        distance = float((edges @ [x, y, z] / np.linalg.norm(edges, axis=1)).min())
        if z <= config.min_depth or distance <= 0.0:
            raise ReconstructionError(
                ErrorCode.BAD_ROI,
                f"the views have no common middle: their axes meet at {np.round(center, 3).tolist()} m, which "
                f"{view_name(view, index)} does not show. Give a region of interest or drop that view",
            )
        radii.append(distance)
    radius = float(np.quantile(radii, 1.0 - whole, method="lower"))
    return Box(rigid(np.eye(3), center), np.full(3, 2.0 * radius))


def few_views(views: Sequence[View], prompts: Prompts, centre: F64, most: int) -> tuple[Sequence[View], Prompts]:
    """At most ``most`` views, those that lie furthest apart around ``centre`` (3,) and the prompted ones, and their
    prompts. A search needs no more, and each view more may be the one that misses a part in a small picture."""
    if len(views) <= most:
        return views, prompts
    chosen = spread_views(np.stack([view.T_world_camera for view in views]), centre, most)
    chosen = sorted({*chosen, *prompts.pixel_boxes, *prompts.points})
    return [views[i] for i in chosen], prompts.of_views(chosen)


def clear_of_cameras(region: Box, views: Sequence[View], config: WindowConfig = WindowConfig()) -> Box:
    """A guessed ``region``, made smaller about its centre until no camera is inside it."""
    factor = 1.0
    for view in views:
        inside = transform(inverse(region.T_world_box), view.T_world_camera[:3, 3][None])[0]
        factor = min(factor, config.camera_clearance * float((np.abs(inside) / (region.size / 2.0)).max()))
    return Box(region.T_world_box, region.size * factor)


def aim(view: View, index: int, prompts: Prompts) -> F64:
    """Unit direction (3,), world, of the ray on which the object is expected."""
    K, pixel = view.camera.K, None
    if index in prompts.pixel_boxes:
        pixel = np.array(prompts.pixel_boxes[index]).reshape(2, 2).mean(axis=0)
    elif index in prompts.points:
        rows = np.asarray(prompts.points[index], dtype=np.float64)
        if (rows[:, 2] == 1).any():
            pixel = rows[rows[:, 2] == 1, :2].mean(axis=0)
    if pixel is None:  # not the optical axis: a picture may be a part of the sensor's
        pixel = np.array([view.camera.width, view.camera.height]) / 2.0
    ray = view.T_world_camera[:3, :3] @ [*((pixel - K[:2, 2]) / [K[0, 0], K[1, 1]]), 1.0]
    return ray / np.linalg.norm(ray)


def _behind(view: View, pixel_box: tuple[float, float, float, float], config: WindowConfig) -> Box:
    """A box along the optical axis whose back has the outline ``pixel_box``. It begins at the nearest depth measured
    there; without any it is thin and one metre away: with one view, any depth is as good."""
    corners = np.array(pixel_box).reshape(2, 2)
    K = view.camera.K
    low, high = (corners - K[:2, 2]) / [K[0, 0], K[1, 1]]
    front, back = 1.0, 1.01
    if view.depth is not None:
        (left, top), (right, bottom) = np.maximum(np.round(corners).astype(int), 0)
        depth = view.depth[top:bottom, left:right]
        known = depth[depth > 0.0]
        if known.size > config.min_depth_share * depth.size:
            front = float(np.quantile(known, config.front_quantile))
            back = front * (1.0 + config.single_view_reach * float((high - low).max()))
    T = rigid(np.eye(3), np.array([*back * (low + high) / 2, (front + back) / 2]))
    return Box(view.T_world_camera @ T, np.array([*back * (high - low), back - front]))


def outline(view: View, box: Box, config: WindowConfig) -> F64 | None:
    """The box's convex outline (N, 2) in pixels; None where it lies behind the camera."""
    points = _corners(box)
    pixels, z = project(view.camera, view.T_world_camera, points)
    if (z <= config.min_depth).any():  # partly behind: its densely sampled front part
        pixels, z = project(view.camera, view.T_world_camera, _corners(box, config.outline_steps))
    front = z > config.min_depth
    if not front.any():
        return None
    reach = config.outline_reach * max(view.camera.width, view.camera.height)
    return cv2.convexHull(np.clip(pixels[front], -reach, reach).astype(np.float32))[:, 0].astype(np.float64)


def make_windows(
    views: Sequence[View], region: Box, prompts: Prompts, side: int, config: WindowConfig = WindowConfig()
) -> list[Window]:
    """The window of each view that shows ``region``, its longer side at most ``side`` pixels.

    Raises ROI_NOT_VISIBLE for a view that shows nothing of it, BAD_ROI for a camera inside it.
    """
    windows = []
    given = prompts.roi is not None
    name = "region of interest" if given else "search region that was guessed from the views"
    for index, view in enumerate(views):
        camera = view.camera
        inside = transform(inverse(region.T_world_box), view.T_world_camera[:3, 3][None])[0]
        if (np.abs(inside) < region.size / 2).all():
            raise ReconstructionError(
                ErrorCode.BAD_ROI,
                f"the camera of {view_name(view, index)} at {np.round(view.T_world_camera[:3, 3], 3).tolist()} m "
                f"is inside the {name}, of {np.round(region.size, 3).tolist()} m: "
                + ("make the region smaller" if given else "give a region of interest, or check that view's pose"),
            )
        edge = outline(view, region, config)
        where = f"{name} at {np.round(region.T_world_box[:3, 3], 3).tolist()} m"
        if edge is None:
            raise ReconstructionError(
                ErrorCode.ROI_NOT_VISIBLE,
                f"{where} is behind the camera of {view_name(view, index)}: check "
                + ("the region's frame, or " if given else "")
                + "that the pose is camera to world with z forward",
            )
        (x0, y0), (x1, y1) = edge.min(axis=0), edge.max(axis=0)
        if x1 < 2 or y1 < 2 or x0 > camera.width - 2 or y0 > camera.height - 2:
            raise ReconstructionError(
                ErrorCode.ROI_NOT_VISIBLE,
                f"{where} is at pixels ({x0:.0f}, {y0:.0f})-({x1:.0f}, {y1:.0f}) of {view_name(view, index)}, "
                f"outside its {camera.width} x {camera.height} image: {'move the' if given else 'give a'} region or "
                "drop that view",
            )
        pad = config.margin * max(min(x1, camera.width) - max(x0, 0), min(y1, camera.height) - max(y0, 0))
        rect = (
            int(np.floor(np.clip(x0 - pad, 0, camera.width - 2))),
            int(np.floor(np.clip(y0 - pad, 0, camera.height - 2))),
            int(np.ceil(np.clip(x1 + pad, 2, camera.width))),
            int(np.ceil(np.clip(y1 + pad, 2, camera.height))),
        )
        windows.append(_window(view, edge, rect, index, prompts, side, config))
    return windows


def _window(
    view: View,
    edge: F64,
    rect: tuple[int, int, int, int],
    index: int,
    prompts: Prompts,
    side: int,
    config: WindowConfig,
) -> Window:
    width, height = rect[2] - rect[0], rect[3] - rect[1]
    scale = min(1.0, side / max(width, height))
    small = crop(view.camera, *rect, max(2, round(width * scale)), max(2, round(height * scale)))
    rgb = resample(view.image, view.camera, small)
    to_small = np.array([small.width / width, small.height / height])

    allowed = np.zeros(rgb.shape[:2], np.uint8)
    shift = 6  # cv2's fixed-point corners: outlines land within 1/64 pixel
    corners = ((edge - rect[:2]) * to_small - 0.5) * 2**shift
    cv2.fillConvexPoly(allowed, np.round(corners).astype(np.int32), 1, shift=shift)
    if index in prompts.pixel_boxes:
        box = np.array(prompts.pixel_boxes[index]).reshape(2, 2)
        low, high = np.round((box - rect[:2]) * to_small).astype(int)
        boxed = np.zeros_like(allowed)
        boxed[max(low[1], 0) : max(high[1], 0), max(low[0], 0) : max(high[0], 0)] = 1
        allowed &= boxed
    marks = [np.zeros_like(allowed), np.zeros_like(allowed)]
    radius = max(1, round(config.point_radius * float(to_small.min())))
    for x, y, label in np.asarray(prompts.points.get(index, np.zeros((0, 3)))):
        u, v = np.floor((np.array([x, y]) - rect[:2]) * to_small).astype(int)
        cv2.circle(marks[int(label)], (int(u), int(v)), radius, 1, -1)
    off, on = marks[0] > 0, marks[1] > 0
    return Window(
        camera=small,
        T_world_camera=view.T_world_camera,
        rect=rect,
        rgb=rgb,
        lab=to_lab(rgb),
        allowed=((allowed > 0) | on) & ~off,
        on=on & ~off,
        off=off,
        depth=None if view.depth is None else np.nan_to_num(resample(view.depth, view.camera, small)),
    )


def distance_from_middle(window: Window) -> F32:
    """(h, w): distance from the region's middle, 1 at the edge of the area where the object may be; 1 all over where
    that is nowhere."""
    if not window.allowed.any():
        return np.ones(window.shape, np.float32)
    rows, columns = np.nonzero(window.allowed)
    y, x = np.mgrid[: window.shape[0], : window.shape[1]]
    reach = max(int(np.ptp(rows)), int(np.ptp(columns)), 1) / 2.0
    middle = (rows.min() + rows.max()) / 2.0, (columns.min() + columns.max()) / 2.0
    return (np.hypot(y - middle[0], x - middle[1]) / reach).astype(np.float32)
