"""Makes the chosen generator, keeps it, calls it, and holds what it answers to the contract."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, shown
from mvgamba_ros.generate.generator import Generated, GeneratedMesh, GeneratedViews, Generator, Subject
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.geometry.camera import check_camera
from mvgamba_ros.geometry.se3 import check_rigid
from mvgamba_ros.kernels.gpu_memory import enough_gpu_memory
from mvgamba_ros.registry import blamed, fault, load
from mvgamba_ros.types import Cancelled, Mesh, Progress, View

KEPT = 1
"""Gigabytes each: the last one used."""
MAX_SEED = 2**63 - 1
BEYOND = 1.001
"""How far the canonical cube may be exceeded: float32 rounds."""


@lru_cache(maxsize=KEPT)
def load_generator(options: GeneratorOptions) -> Generator:
    """The generator ``options.generator``, ready to run; equal options share one object.

    Raises:
        ReconstructionError: What `mvgamba_ros.registry.load` and the factory raise: BAD_OPTION, BAD_CHECKPOINT,
            MISSING_PACKAGE.
    """
    name = options.generator
    factory = load("generators", name)
    with blamed("generators", name), enough_gpu_memory():
        made = factory(options)
    if not callable(made):
        raise fault("generators", name, f"was made as {type(made).__name__}, which cannot be called")
    generator: Generator = made
    return generator


def generate(
    options: GeneratorOptions, subject: Subject, seed: int, progress: Progress, cancelled: Cancelled
) -> Generated:
    """What the generator ``options.generator`` makes of ``subject``, checked.

    Args:
        options: Which generator, its weights and its device.
        subject: What to make up.
        seed: Of all that is drawn, 0 to 2**63 - 1.
        progress: Called as ``progress(stage, fraction)``.
        cancelled: Polled between steps.

    Returns:
        Views, or a mesh, in the canonical frame (`mvgamba_ros.generate.generator`).

    Raises:
        ReconstructionError: What `load_generator` and the generator raise, BAD_OPTION for a seed out of range, and
            BAD_OPTION that names the generator where it breaks the contract of `Generator`.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= MAX_SEED:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"seed {shown(seed)} must be a whole number, 0 to {MAX_SEED}")
    name = options.generator
    generator = load_generator(options)
    with blamed("generators", name), enough_gpu_memory():
        made = generator(subject, int(seed), progress, cancelled)
        wrong = wrong_answer(made)
    if wrong:
        raise fault("generators", name, f"returned {wrong}")
    return made


def wrong_answer(made: Any) -> str:
    """What breaks the contract in what a generator returned; empty where nothing does."""
    if not isinstance(made, GeneratedViews | GeneratedMesh):
        return f"{type(made).__name__}, neither GeneratedViews nor GeneratedMesh"
    if not isinstance(made.notes, tuple) or not all(isinstance(note, str) for note in made.notes):
        return f"notes {shown(made.notes)}, not a tuple of str"
    azimuth = made.photo_azimuth
    number = isinstance(azimuth, float | int | np.floating) and not isinstance(azimuth, bool)
    if azimuth is not None and not (number and math.isfinite(azimuth)):
        return f"photo_azimuth {shown(azimuth)}, not radians or None"
    return _wrong_views(made.views) if isinstance(made, GeneratedViews) else _wrong_mesh(made.mesh)


def _wrong_views(views: Any) -> str:
    if not isinstance(views, tuple) or not views or not all(isinstance(view, View) for view in views):
        return "views that are no tuple of Views"
    for index, view in enumerate(views):
        size = view.image.shape[:2]
        shape = view.camera.height, view.camera.width, 3
        if view.image.dtype != np.uint8 or view.image.shape != shape:
            return f"view {index} with a picture {view.image.shape} {view.image.dtype}, not {shape} uint8 as its camera"
        mask = view.mask
        if mask is not None and (mask.shape != size or mask.dtype != np.bool_ or not mask.any()):
            return f"view {index} with a mask {mask.shape} {mask.dtype}, not {size} bool, or one that shows no object"
        if view.camera.distortion_model != "none":
            return f"view {index} of a camera that is no pinhole"
        if any(pixels is not None and pixels.shape != size for pixels in (view.depth, view.hidden)):
            return f"view {index} with depth or hidden pixels of another size than its picture"
        try:
            check_camera(view.camera, f"view {index}")
            check_rigid(view.T_world_camera, f"view {index}")
        except ReconstructionError as error:
            return error.message
    return ""


def _wrong_mesh(mesh: Any) -> str:
    if not isinstance(mesh, Mesh):
        return f"a mesh that is {type(mesh).__name__}, not a Mesh"
    if mesh.vertices.ndim != 2 or mesh.vertices.shape[1] != 3 or mesh.faces.ndim != 2 or mesh.faces.shape[1] != 3:
        return f"vertices {mesh.vertices.shape} and faces {mesh.faces.shape}, not (V, 3) and (F, 3)"
    if not (np.issubdtype(mesh.vertices.dtype, np.floating) and np.issubdtype(mesh.faces.dtype, np.integer)):
        return f"vertices {mesh.vertices.dtype} and faces {mesh.faces.dtype}, not floats and whole numbers"
    if not len(mesh.faces) or mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        return "a mesh without triangles, or triangles of vertices that are not there"
    if mesh.colors.shape != mesh.vertices.shape or mesh.colors.dtype != np.uint8:
        return f"colours {mesh.colors.shape} {mesh.colors.dtype}, not {mesh.vertices.shape} uint8"
    if not (np.abs(mesh.vertices) <= BEYOND).all():  # a NaN is no less
        return "vertices beyond [-1, 1], the canonical cube"
    return ""
