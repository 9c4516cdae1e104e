"""The rasteriser on CUDA: gsplat where it works, else diff-gaussian-rasterization, else ours in torch, by tiles.

Written for gsplat 1.5.3 (``pip install gsplat==1.5.3``) and diff-gaussian-rasterization at commit 59f5f77, both
imported when first used. What they do not compute is NaN: the median depth is found only while gradients are off, by a
second pass of gsplat's; diff-gaussian-rasterization has none. Whether one works is found by having it draw a Gaussian.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from mvgamba_ros.kernels.probing import fault_of
from mvgamba_ros.kernels.rasterize_reference import FAR, LOW_PASS, NEAR, quats_to_matrices, rasterize_reference
from mvgamba_ros.kernels.rasterize_tiled import draw_tiled, scene_by_scene

_INRIA_NEAR = 0.2  # where diff-gaussian-rasterization cuts


def rasterize_cuda(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
    background: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colour (B, V, H, W, 3), expected depth, median depth and alpha (B, V, H, W); inputs as ``rasterize_reference``.

    Raises RuntimeError when none works, torch's own included, saying what is wrong with each.
    """
    given = (means, quats, scales, opacities, colors, T_camera_world, K)
    return scene_by_scene(working_rasteriser(str(means.device)), given, width, height, background)


@cache
def working_rasteriser(device: str) -> Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]:
    """The first of the three that works on ``device``. Tried once a process; warns where one before it does not work,
    though installed. Raises as `rasterize_cuda`."""
    faults: dict[str, str] = {}
    order = {"gsplat": draw_gsplat, "diff_gaussian_rasterization": draw_inria, "torch": draw_tiled}
    for name, draw in order.items():
        fault = fault_of(partial(_drawn_and_right, draw, device))
        if not fault:
            broken = [f"{package} does not work: {wrong}" for package, wrong in faults.items() if _is_there(package)]
            if broken:
                warnings.warn(f"{name} draws on {device}, as {'; '.join(broken)}", stacklevel=2)
            return draw
        faults[name] = fault
    raise RuntimeError(
        f"no rasteriser works on {device}, which torch {torch.__version__} must be built for: "
        + "; ".join(f"{name}: {fault}" for name, fault in faults.items())
    )


def _is_there(package: str) -> bool:
    """Whether it is installed, whatever it does."""
    return sys.modules[package] is not None if package in sys.modules else find_spec(package) is not None


def _drawn_and_right(draw: Callable[..., Any], device: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Colour and alpha of a Gaussian that fills a picture of 8 pixels by 8: as drawn, and by the reference."""
    given: list[Any] = [
        torch.tensor([[0.0, 0.0, 2.0]]),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        torch.tensor([[0.5, 0.4, 0.3]]),
        torch.tensor([0.7]),
        torch.tensor([[0.2, 0.5, 0.9]]),
        torch.eye(4)[None],
        torch.tensor([[[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]]),
        8,
        8,
        torch.ones(1, 3),
    ]
    drawn = draw(*(x.to(device) if isinstance(x, Tensor) else x for x in given))
    scene: list[Any] = [x[None] if isinstance(x, Tensor) else x for x in given]
    right = rasterize_reference(*scene)
    return (drawn[0], drawn[3]), (right[0][0], right[3][0])


def draw_gsplat(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
    background: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One scene of V views with gsplat; ``background`` (V, 3)."""
    import gsplat

    drawn, alpha, found = gsplat.rasterization(
        means=means,
        quats=quats,
        scales=scales,
        opacities=opacities,
        colors=colors,
        viewmats=T_camera_world,
        Ks=K,
        width=width,
        height=height,
        near_plane=NEAR,
        far_plane=FAR,
        eps2d=LOW_PASS,
        packed=False,
        backgrounds=background,
        render_mode="RGB+ED",
    )
    alpha = alpha[..., 0]
    median = torch.full_like(alpha, math.nan) if torch.is_grad_enabled() else _median_gsplat(found, alpha)
    return drawn[..., :3], drawn[..., 3], median, alpha


def _median_gsplat(found: dict[str, Any], alpha: Tensor) -> Tensor:
    """Median depth (V, H, W) from what gsplat's projection ``found``: the list of all pixel-Gaussian pairs, nearest
    first within a pixel, and the one of each pixel at which transmittance falls to a half."""
    import gsplat

    height, width = alpha.shape[1:]
    gaussians, pixels, views = gsplat.rasterize_to_indices_in_range(
        range_start=0,
        range_end=2**31 - 1,
        transmittances=torch.ones_like(alpha),
        means2d=found["means2d"],
        conics=found["conics"],
        opacities=found["opacities"],
        image_width=width,
        image_height=height,
        tile_size=found["tile_size"],
        isect_offsets=found["isect_offsets"],
        flatten_ids=found["flatten_ids"],
    )
    centers = torch.stack([pixels % width, torch.div(pixels, width, rounding_mode="floor")], -1) + 0.5
    dx, dy = (centers - found["means2d"][views, gaussians]).unbind(-1)
    a, b, c = found["conics"][views, gaussians].unbind(-1)
    falloff = torch.exp(-(0.5 * (a * dx**2 + c * dy**2) + b * dx * dy))
    step = torch.log1p(-(found["opacities"][views, gaussians] * falloff).clamp(max=0.999).double())

    pixel = (views * height + torch.div(pixels, width, rounding_mode="floor")) * width + pixels % width
    passed = torch.cumsum(step, 0)  # over all pixels: less what it was where each pixel's pairs begin
    first = torch.ones_like(pixel, dtype=torch.bool)
    first[1:] = pixel[1:] != pixel[:-1]
    start = (passed - step)[first][torch.cumsum(first, 0) - 1]
    after = passed - start
    halfway = (after <= -math.log(2)) & (after - step > -math.log(2))
    median = torch.zeros_like(alpha)
    median.view(-1)[pixel[halfway]] = found["depths"][views, gaussians][halfway]
    return median


def draw_inria(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
    background: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One scene of V views with diff-gaussian-rasterization; ``background`` (V, 3).

    It gives no gradient of the pose and no depth, and cuts what is nearer than 0.2. So the Gaussians go to it in the
    camera's frame, which leaves the pose to autograd, and enlarged about the camera, which changes no picture but moves
    that plane to ours; z and 1 are drawn in a second pass as colours.
    """
    enlarge = _INRIA_NEAR / NEAR
    shape = quats_to_matrices(quats) * scales[:, None, :]
    upper = torch.triu_indices(3, 3, device=means.device)
    views = []
    for T, camera, behind in zip(T_camera_world, K, background, strict=True):
        in_camera = means @ T[:3, :3].T + T[:3, 3]
        turned = T[:3, :3] @ shape * enlarge
        covariance = (turned @ turned.transpose(-1, -2))[:, upper[0], upper[1]]
        gaussians = in_camera * enlarge, covariance, opacities[:, None], camera, width, height
        z = in_camera[:, 2]
        color = _pass_inria(*gaussians, colors, behind)
        depth_alpha = torch.stack([z, torch.ones_like(z), torch.zeros_like(z)], -1)
        depth, alpha, _ = _pass_inria(*gaussians, depth_alpha, torch.zeros_like(behind))
        seen = alpha > 0
        depth = torch.where(seen, depth, 0) / torch.where(seen, alpha, 1)
        views.append((color.permute(1, 2, 0), depth, torch.full_like(depth, math.nan), alpha))
    color, depth, median, alpha = (torch.stack(images) for images in zip(*views, strict=True))
    return color, depth, median, alpha


def _pass_inria(
    means: Tensor,
    covariances: Tensor,
    opacities: Tensor,
    K: Tensor,
    width: int,
    height: int,
    colors: Tensor,
    background: Tensor,
) -> Tensor:
    """One picture (3, H, W) of Gaussians in the camera's frame: ``covariances`` (N, 6) upper triangles."""
    from diff_gaussian_rasterization import GaussianRasterizationSettings, GaussianRasterizer

    fx, fy, cx, cy = (float(K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    to_clip = means.new_tensor(
        [
            [2 * fx / width, 0, 2 * cx / width - 1, 0],
            [0, 2 * fy / height, 2 * cy / height - 1, 0],
            [0, 0, 1, -_INRIA_NEAR],
            [0, 0, 1, 0],
        ]
    )
    settings = GaussianRasterizationSettings(
        image_height=height,
        image_width=width,
        tanfovx=width / (2 * fx),
        tanfovy=height / (2 * fy),
        bg=background,
        scale_modifier=1.0,
        viewmatrix=torch.eye(4, device=means.device),
        projmatrix=to_clip.T.contiguous(),  # it wants its matrices transposed
        sh_degree=0,
        campos=means.new_zeros(3),
        prefiltered=False,
        debug=False,
    )
    image, _radii = GaussianRasterizer(settings)(
        means3D=means,
        means2D=torch.zeros_like(means),
        opacities=opacities,
        colors_precomp=colors,
        cov3D_precomp=covariances,
    )
    return image
