"""Makes the chosen method and segmenter, keeps them, calls them.

Weights load once: what is made is kept for the next call with the same options. One that an installed package brings is
held to its contract: what it raises or returns wrongly is reported as its fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.kernels.gpu_memory import enough_gpu_memory, limit_gpu_memory
from mvgamba_ros.methods.protocol import Method, Shape
from mvgamba_ros.options import Options
from mvgamba_ros.registry import BUILT_IN, Kind, blamed, fault, load
from mvgamba_ros.segmentation.segmenter import EmbeddingSegmenter, ObjectFinder, Segmenter, Silhouettes
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.types import Box, Cancelled, Gaussians, Mesh, Progress, View, view_name

KEPT = 2
"""Of each kind, the last used: an evaluation compares a method with the hull by turns."""
GAUSSIANS = {"means": (3,), "quats": (4,), "scales": (3,), "opacities": (), "colors": (3,)}
"""The fields of `Gaussians` and the shape of each after its first axis."""


def load_method(options: Options) -> Method:
    """The reconstructor ``options.method``, ready to run.

    Args:
        options: Its factory sees ``method``, ``checkpoint``, ``device``, ``precision`` and ``config``; options with
            equal values of these share one object, whatever else they hold.

    Returns:
        The object that the factory registered under that name makes.

    Raises:
        ReconstructionError: What `mvgamba_ros.registry.load` and the factory raise: BAD_OPTION, BAD_CHECKPOINT,
            MISSING_PACKAGE (``device`` cuda without what it needs).
    """
    limit_gpu_memory(options.gpu_memory, options.device)
    return _method(options.method, options.checkpoint, options.device, options.precision, options.config)


def load_segmenter(options: Options) -> Segmenter:
    """The segmenter ``options.segmenter``, ready to run.

    Args:
        options: Its factory sees ``segmenter``, ``sam_checkpoint``, ``device`` and ``config``; options with equal
            values of these share one object, whatever else they hold.

    Returns:
        The object that the factory registered under that name makes.

    Raises:
        ReconstructionError: What `mvgamba_ros.registry.load` and the factory raise: BAD_OPTION, MISSING_PACKAGE,
            BAD_CHECKPOINT.
    """
    limit_gpu_memory(options.gpu_memory, options.device)
    return _segmenter(options.segmenter, options.sam_checkpoint, options.device, options.config)


# A factory gets options that hold nothing but the key: what belongs to one request would be another's the next time.


@lru_cache(maxsize=KEPT)
def _method(name: str, checkpoint: str, device: str, precision: str, config: ReconstructionConfig) -> Method:
    options = Options(method=name, checkpoint=checkpoint, device=device, precision=precision, config=config)
    made: Method = _made("methods", name, options)
    return made


@lru_cache(maxsize=KEPT)
def _segmenter(name: str, sam_checkpoint: str, device: str, config: ReconstructionConfig) -> Segmenter:
    made: Segmenter = _made(
        "segmenters", name, Options(segmenter=name, sam_checkpoint=sam_checkpoint, device=device, config=config)
    )
    return made


def _made(kind: Kind, name: str, options: Options) -> Any:
    factory = load(kind, name)
    with blamed(kind, name), enough_gpu_memory():
        made = factory(options)
    if not callable(made):
        raise fault(kind, name, f"was made as {type(made).__name__}, which cannot be called")
    return made


def run_method(
    options: Options, views: Sequence[View], hull: DistanceField, progress: Progress, cancelled: Cancelled
) -> Shape:
    """The shape that the reconstructor ``options.method`` makes, checked. Raises what `load_method` and it raise, and
    BAD_OPTION that names it where it breaks the contract of `Method`."""
    name = options.method
    method = load_method(options)
    with blamed("methods", name), enough_gpu_memory():
        shape = method(_own("methods", name, views), hull, options, progress, cancelled)
        wrong = _wrong_shape(shape)
        if not wrong:
            mesh = shape.mesh
            mesh = Mesh(
                np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32), np.asarray(mesh.colors)
            )
    if wrong:
        raise fault("methods", name, f"returned {wrong}")
    return replace(shape, mesh=mesh)


def run_segmenter(options: Options, views: Sequence[View], progress: Progress, cancelled: Cancelled) -> Silhouettes:
    """The silhouettes that the segmenter ``options.segmenter`` finds, checked. Raises what `load_segmenter` and it
    raise, and BAD_OPTION that names it where it breaks the contract of `Segmenter`."""
    name = options.segmenter
    segmenter = load_segmenter(options)
    with blamed("segmenters", name), enough_gpu_memory():
        found = segmenter(_own("segmenters", name, views), options.prompts, progress, cancelled)
        if isinstance(found, Silhouettes):
            hidden = None if found.hidden is None else [np.asarray(covered) for covered in found.hidden]
            found = replace(found, masks=[np.asarray(mask) for mask in found.masks], hidden=hidden)
        wrong = _wrong_silhouettes(found, views)
    if wrong:
        raise fault("segmenters", name, f"returned {wrong}")
    return found


def load_finder(options: Options) -> ObjectFinder:
    """The segmenter ``options.segmenter``, which finds several objects. Raises what `load_segmenter` raises, and
    BAD_OPTION for one that finds a single object."""
    segmenter = load_segmenter(options)
    if not isinstance(segmenter, ObjectFinder):
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"segmenter {options.segmenter} finds one object: give a region of interest for each, or segmenter "
            "multiview",
        )
    return segmenter


def find_objects(options: Options, views: Sequence[View], cancelled: Cancelled) -> list[Box]:
    """Boxes around the objects that the segmenter ``options.segmenter`` finds, checked. Raises what `load_finder` and
    it raise, and BAD_OPTION for one that breaks the contract of `ObjectFinder`."""
    name = options.segmenter
    segmenter = load_finder(options)
    with blamed("segmenters", name), enough_gpu_memory():
        found = list(segmenter.find_objects(_own("segmenters", name, views), options.prompts, cancelled))
        wrong = next((f"found {box!r}, not a Box" for box in found if not isinstance(box, Box)), "")
        for box in found if not wrong else ():
            T, size = np.asarray(box.T_world_box), np.asarray(box.size)
            if T.shape != (4, 4) or size.shape != (3,) or not np.isfinite([*T.ravel(), *size]).all() or size.min() <= 0:
                wrong = f"found a box at {T.tolist()} of {size.tolist()} m, not of a finite pose and positive sides"
    if wrong:
        raise fault("segmenters", name, wrong)
    return found


def embed(options: Options, view: View) -> None:
    """Has the segmenter ``options.segmenter`` do ahead what it can of ``view``, undistorted, if it can. Raises what
    `run_segmenter` raises."""
    segmenter = load_segmenter(options)
    if isinstance(segmenter, EmbeddingSegmenter):
        with blamed("segmenters", options.segmenter), enough_gpu_memory():
            segmenter.embed(*_own("segmenters", options.segmenter, [view]))


def _own(kind: Kind, name: str, views: Sequence[View]) -> list[View]:
    """The views for an extension: an installed one gets copies, as what it does to them must not reach the caller's,
    which the node keeps for the next request."""
    return list(views) if name in BUILT_IN[kind] else deepcopy(list(views))


def _wrong_shape(shape: Any) -> str:
    """What is wrong with what a method returned; empty where nothing is."""
    if not isinstance(shape, Shape):
        return f"{type(shape).__name__}, not a Shape"
    if not isinstance(shape.mesh, Mesh):
        return f"a Shape whose mesh is {type(shape.mesh).__name__}, not a Mesh"
    vertices, faces, colors = (np.atleast_1d(x) for x in (shape.mesh.vertices, shape.mesh.faces, shape.mesh.colors))
    if not len(vertices) or not len(faces):
        return "a mesh without triangles (it may raise EMPTY_SURFACE instead)"
    if vertices.ndim != 2 or vertices.shape[1] != 3 or vertices.dtype.kind != "f":
        return f"vertices {vertices.shape} {vertices.dtype}, not (V, 3) float64"
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        return f"faces {faces.shape} {faces.dtype}, not (F, 3) int32"
    if colors.shape != vertices.shape or colors.dtype != np.uint8:
        return f"colors {colors.shape} {colors.dtype}, not {vertices.shape} uint8"
    if faces.min() < 0 or faces.max() >= len(vertices):
        return f"faces that name vertices {faces.min()} to {faces.max()}, of {len(vertices)}"
    if not (np.abs(vertices) < np.finfo(np.float32).max).all():
        return "vertices that are not finite"
    if not np.ptp(vertices, axis=0).all():
        return "a mesh without volume: all its vertices lie in one plane"
    if not isinstance(shape.depths, tuple) or not all(isinstance(maps, DepthMaps) for maps in shape.depths):
        return f"depths {type(shape.depths).__name__}, not a tuple of DepthMaps"
    if not isinstance(shape.reasons, tuple) or not all(isinstance(reason, str) for reason in shape.reasons):
        return f"reasons {shape.reasons!r}, not a tuple of texts"
    if not isinstance(shape.notes, tuple) or not all(isinstance(note, str) for note in shape.notes):
        return f"notes {shape.notes!r}, not a tuple of str"
    return "" if shape.gaussians is None else _wrong_gaussians(shape.gaussians)


def _wrong_gaussians(gaussians: Any) -> str:
    import torch

    if not isinstance(gaussians, Gaussians):
        return f"gaussians that are {type(gaussians).__name__}, not Gaussians"
    for name, rest in GAUSSIANS.items():
        value, shape = getattr(gaussians, name), (len(gaussians.means), *rest)
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32 or tuple(value.shape) != shape:
            given = f"{tuple(getattr(value, 'shape', ()))} {getattr(value, 'dtype', type(value).__name__)}"
            return f"gaussians whose {name} are {given}, not {shape} torch.float32"
        if not torch.isfinite(value).all():
            return f"gaussians whose {name} are not finite"
    return ""


def _wrong_silhouettes(found: Any, views: Sequence[View]) -> str:
    """What is wrong with what a segmenter returned; empty where nothing is."""
    if not isinstance(found, Silhouettes):
        return f"{type(found).__name__}, not Silhouettes"
    if len(found.masks) != len(views):
        return f"{len(found.masks)} masks of {len(views)} views"
    for index, (mask, view) in enumerate(zip(found.masks, views, strict=True)):
        size = view.image.shape[:2]
        if mask.shape != size or mask.dtype != np.bool_:
            return f"for {view_name(view, index)} a mask {mask.shape} {mask.dtype}, not {size} bool"
    if found.hidden is not None and len(found.hidden) != len(views):
        return f"what is hidden in {len(found.hidden)} of {len(views)} views"
    for index, covered in enumerate(found.hidden or []):
        mask, name = found.masks[index], view_name(views[index], index)
        if covered.shape != mask.shape or covered.dtype != np.bool_:
            return f"for {name} hidden pixels {covered.shape} {covered.dtype}, not {mask.shape} bool"
        if (covered & mask).any():
            return f"for {name} {np.count_nonzero(covered & mask)} pixels that are hidden and on the object"
    height = found.support_height
    if height is not None and not (isinstance(height, float | np.floating | int) and np.isfinite(height)):
        return f"support height {height!r}, not metres or None"
    return ""
