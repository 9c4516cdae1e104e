"""How much one request may carry. Checked by counts and headers, before a pixel is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.parameters import Parameters

MOST_NAME = 255
"""Characters of a name in a request: that of a file has no more."""
LONGEST_PATH = 4096
"""Characters of a path in a request: the system takes no longer one (PATH_MAX)."""
RESERVED = "<octomap>"
"""A name that MoveIt keeps for itself."""
MEGA = 1_000_000


def check_request(request: Any, parameters: Parameters) -> None:
    """Raises TOO_MANY_VIEWS, BAD_IMAGE, BAD_ROI or BAD_OPTION where a request of one object is beyond a limit, with the
    limit and its parameter."""
    _check_texts(request)
    check_object_id(request.object_id)
    _check_prompts([request], parameters)
    _check_views(request, parameters)


def check_scene_request(request: Any, parameters: Parameters) -> None:
    """As `check_request`, for one of several objects."""
    _check_texts(request)
    names = [prompts.object_id for prompts in request.prompts if prompts.object_id]
    for name in names:
        check_object_id(name)
        if names.count(name) > 1:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION, f"object_id {name!r} is that of {names.count(name)} prompts: each needs its own"
            )
    if len(request.prompts) > parameters.max_objects:
        raise ReconstructionError(
            ErrorCode.BAD_ROI,
            f"the request names {len(request.prompts)} objects, max_objects is {parameters.max_objects}: send fewer",
        )
    _check_prompts(request.prompts, parameters)
    _check_views(request, parameters)


def check_object_id(name: str) -> None:
    """Raises BAD_OPTION for an object_id that can be no frame's name."""
    check_length("object_id", name, MOST_NAME, ErrorCode.BAD_OPTION)
    if name == RESERVED or name.startswith("/") or not name.isprintable():
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"object_id {name!r} is no name of a frame, which the object gets: leave out a slash at the "
            f"beginning and what cannot be printed, and take another than {RESERVED}",
        )


def _check_texts(request: Any) -> None:
    for field in ("target_frame", "segmenter", "method", "refine_poses", "generator", "complete"):
        check_length(field, getattr(request, field, ""), MOST_NAME, ErrorCode.BAD_OPTION)


def _check_prompts(of_objects: Sequence[Any], parameters: Parameters) -> None:
    prompts = sum(len(prompts.pixel_boxes) + len(prompts.point_prompts) for prompts in of_objects)
    if prompts > parameters.max_prompts:
        raise ReconstructionError(
            ErrorCode.BAD_ROI,
            f"the request carries {prompts} pixel boxes and points, max_prompts is {parameters.max_prompts}: send "
            "fewer",
        )


def _check_views(request: Any, parameters: Parameters) -> None:
    if len(request.views) > parameters.max_views:
        raise ReconstructionError(
            ErrorCode.TOO_MANY_VIEWS,
            f"the request carries {len(request.views)} views, max_views is {parameters.max_views}: send fewer",
        )
    for index, view in enumerate(request.views):
        for what in ("image", "depth", "mask"):
            picture = getattr(view, what)
            check_pixels(picture.width, picture.height, parameters.max_view_megapixels, f"views[{index}] {what}")
    size = sum(len(view.image.data) + len(view.depth.data) + len(view.mask.data) for view in request.views) / MEGA
    if size > parameters.max_request_mb:
        raise ReconstructionError(
            ErrorCode.TOO_MANY_VIEWS,
            f"the request carries {size:.0f} MB of pictures, max_request_mb is {parameters.max_request_mb:g}: send "
            "fewer or smaller views",
        )


def check_length(what: str, text: str, most: int, code: ErrorCode) -> None:
    """Raises ``code`` where ``text`` has more than ``most`` characters."""
    if len(text) > most:
        raise ReconstructionError(code, f"{what} has {len(text)} characters, at most {most}")


def check_pixels(width: int, height: int, most_megapixels: float, what: str) -> None:
    """Raises BAD_IMAGE where a picture of that size is larger than ``most_megapixels`` (max_view_megapixels)."""
    megapixels = width * height / MEGA
    if megapixels > most_megapixels:
        raise ReconstructionError(
            ErrorCode.BAD_IMAGE,
            f"{what} is {width} x {height}, {megapixels:.1f} megapixels, max_view_megapixels is {most_megapixels:g}: "
            "send a smaller one, or raise the parameter",
        )
