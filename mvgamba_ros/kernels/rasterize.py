"""Gaussian splatting: one call that renders anisotropic 3D Gaussians to colour, depth and opacity images.

The projection is EWA splatting (Zwicker et al., "EWA splatting", 2002) and the compositing that of 3D Gaussian
Splatting (Kerbl et al., 2023, arXiv:2308.04079), in these conventions:

- a pixel (i, j) is sampled at its centre, (j + 0.5, i + 0.5);
- 0.3 px^2 is added to the projected covariance's diagonal, so that no Gaussian falls between the pixels;
- a Gaussian's alpha at a pixel is its opacity times its falloff, at most 0.99; below 1/255 it is left out;
- Gaussians are composited by the depth z of their centres, equal depths in the order of the arrays; a pixel stops
  before the Gaussian that would bring its transmittance to 1e-4 or less;
- centres with z up to 0.01 or from 1e10 (unit of ``means``) are left out, and so is a Gaussian whose projection
  overflows float32; its gradient is zero;
- the perspective's Jacobian is taken inside the field of view widened by 30 %, as in 3DGS and gsplat.

gsplat clamps alpha at 0.999 and diff-gaussian-rasterization cuts a Gaussian at 3 sigma and at z = 0.2, so those two
differ from ours where such values are met.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from mvgamba_ros.kernels.rasterize_reference import rasterize_reference
from mvgamba_ros.kernels.rasterize_tiled import rasterize_tiled

Backend = Literal["reference", "cpu", "cuda", "tiled"]


class Rendered(NamedTuple):
    """Images of V views; with a leading dimension of scenes when the Gaussians had one.

    ``color`` (V, H, W, 3), over the background.
    ``depth`` (V, H, W) expected z of what the pixel sees, sum(w z) / sum(w): not weighted by alpha, 0 where alpha is 0.
    Differentiable; its gradient grows as 1 / alpha at faint pixels, so weight a loss on it by alpha.
    ``median_depth`` (V, H, W) z of the Gaussian at which transmittance falls to 0.5; 0 where it never does. Carries no
    gradient.
    ``alpha`` (V, H, W) opacity, 1 - transmittance.
    """

    color: Tensor
    depth: Tensor
    median_depth: Tensor
    alpha: Tensor


def rasterize(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
    background: Tensor | None = None,
    backend: Backend | None = None,
) -> Rendered:
    """Render N Gaussians into V views.

    ``means`` (N, 3) world; ``quats`` (N, 4) wxyz, of any length (a zero quaternion stands for no rotation); ``scales``
    (N, 3) standard deviations along the rotated axes; ``opacities`` (N,); ``colors`` (N, 3); ``T_camera_world``
    (V, 4, 4) world to OpenCV camera; ``K`` (V, 3, 3) without skew; ``background`` (3,) or (V, 3), black when None.
    Everything of one floating dtype on one device.

    To render B scenes of N Gaussians at once, put a leading B on every tensor (``background`` may stay (3,) or be
    (B, V, 3)); the images then have it too. It is how the work of many small scenes is spread over the threads.

    Gradients flow to every tensor but ``K``. ``backend`` None takes ``cpu`` (native) for float32 and ``reference`` for
    float64 on the CPU, ``cuda`` (what works there, `rasterize_cuda.working_rasteriser`) for float32 on CUDA, and else
    ``tiled`` (torch, any device).

    Raises ValueError, with the expected shape, for tensors that do not fit together, and ImportError, with what to
    install or build, when the backend is not there.
    """
    batched = means.dim() == 3
    if not batched:
        means, quats, scales, opacities, colors, T_camera_world, K = (
            x.unsqueeze(0) for x in (means, quats, scales, opacities, colors, T_camera_world, K)
        )
        if background is not None and background.dim() == 2:
            background = background.unsqueeze(0)
    _check(means, quats, scales, opacities, colors, T_camera_world, K, width, height, background)
    B, V = T_camera_world.shape[:2]
    if background is None:
        background = means.new_zeros(3)
    background = background.expand(B, V, 3)

    arguments = (means, quats, scales, opacities, colors, T_camera_world, K, width, height, background)
    chosen = choose_backend(means, backend)
    if chosen == "cuda":
        from mvgamba_ros.kernels.rasterize_cuda import rasterize_cuda

        images = rasterize_cuda(*arguments)
    elif chosen == "cpu":
        from mvgamba_ros.kernels.rasterize_cpu import rasterize_cpu

        images = rasterize_cpu(*arguments)
    elif chosen == "tiled":
        images = rasterize_tiled(*arguments)
    else:
        images = rasterize_reference(*arguments)
    return Rendered(*images) if batched else Rendered(*(image.squeeze(0) for image in images))


def choose_backend(means: Tensor, backend: str | None) -> Backend:
    """The backend that ``rasterize`` runs for these Gaussians; ValueError when the given one cannot take them."""
    kind = means.device.type
    if backend is None:
        if means.dtype == torch.float32 and kind in ("cpu", "cuda"):
            return kind  # type: ignore[return-value]
        return "reference" if kind == "cpu" else "tiled"
    if backend not in get_args(Backend):
        raise ValueError(f"backend {backend!r}: expected one of {', '.join(get_args(Backend))}")
    if backend in ("cpu", "cuda") and (kind != backend or means.dtype != torch.float32):
        raise ValueError(
            f"backend {backend!r} takes float32 tensors on {backend}, not {means.dtype} on {kind}: "
            "convert them, or leave backend None"
        )
    return backend  # type: ignore[return-value]


def _check(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
    background: Tensor | None,
) -> None:
    if means.dim() != 3:
        raise ValueError(f"means {tuple(means.shape)}: expected (N, 3), or (B, N, 3) for B scenes")
    if T_camera_world.dim() != 4:
        raise ValueError(f"T_camera_world {tuple(T_camera_world.shape)}: expected (V, 4, 4), or (B, V, 4, 4)")
    B, N = means.shape[:2]
    V = T_camera_world.shape[1]
    expected = {
        "means": (means, (B, N, 3)),
        "quats": (quats, (B, N, 4)),
        "scales": (scales, (B, N, 3)),
        "opacities": (opacities, (B, N)),
        "colors": (colors, (B, N, 3)),
        "T_camera_world": (T_camera_world, (B, V, 4, 4)),
        "K": (K, (B, V, 3, 3)),
    }
    if background is not None:
        expected["background"] = (background, (3,) if background.dim() == 1 else (B, V, 3))
    if means.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"means are {means.dtype}: expected torch.float32 or torch.float64")
    for name, (tensor, shape) in expected.items():
        if tensor.shape != shape:
            raise ValueError(f"{name} {tuple(tensor.shape)}: expected {shape} (B scenes, V views, N Gaussians)")
        if tensor.dtype != means.dtype or tensor.device != means.device:
            raise ValueError(
                f"{name} is {tensor.dtype} on {tensor.device}: expected {means.dtype} on {means.device}, as means"
            )
    for name, size in (("width", width), ("height", height)):
        if not 1 <= size <= 16384:
            raise ValueError(f"{name} {size}: expected 1 to 16384 pixels")
