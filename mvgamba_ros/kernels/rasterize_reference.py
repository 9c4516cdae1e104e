"""The rasteriser in plain torch: every pixel against every Gaussian. Any device, float32 or float64, differentiable.

It is what the fast backends are tested against, so each step is written plainly and none is made quick. The
conventions are in ``mvgamba_ros.kernels.rasterize``.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEAR, FAR = 0.01, 1e10  # z of a centre lies between
LOW_PASS = 0.3  # px^2, added to the projected variance
ALPHA_MIN = 1 / 255
ALPHA_MAX = 0.99
TRANSMITTANCE_MIN = 1e-4
FIELD_OF_VIEW_MARGIN = 0.3  # of half the image, where the perspective's Jacobian is still taken at the centre itself
LARGEST_DETERMINANT = 1e37  # px^4; beyond it a float32 projection overflows

_PAIRS_AT_ONCE = 1 << 22  # pixel-Gaussian pairs held in memory


def rasterize_reference(
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
    """Colour (B, V, H, W, 3), expected depth, median depth and alpha (B, V, H, W) of ``rasterize``.

    ``means`` (B, N, 3), ``quats`` (B, N, 4), ``scales`` (B, N, 3), ``opacities`` (B, N), ``colors`` (B, N, 3),
    ``T_camera_world`` (B, V, 4, 4), ``K`` (B, V, 3, 3), ``background`` (B, V, 3).
    """
    B, V = T_camera_world.shape[:2]
    ys, xs = torch.meshgrid(
        torch.arange(height, dtype=means.dtype, device=means.device) + 0.5,
        torch.arange(width, dtype=means.dtype, device=means.device) + 0.5,
        indexing="ij",
    )
    pixels = torch.stack([xs.flatten(), ys.flatten()], dim=-1)
    views = []
    for b in range(B):
        for v in range(V):
            center, spread, z, kept = project(
                means[b], quats[b], scales[b], opacities[b], T_camera_world[b, v], K[b, v], width, height
            )
            order = torch.argsort(z, stable=True)
            splats = center[order], spread[order], z[order], opacities[b][kept][order], colors[b][kept][order]
            chunk = max(1, _PAIRS_AT_ONCE // max(1, len(order)))
            parts = [composite(p, *splats, background[b, v]) for p in pixels.split(chunk)]
            views.append([torch.cat(images) for images in zip(*parts, strict=True)])
    color, depth, median, alpha = (torch.stack(images) for images in zip(*views, strict=True))
    image = (B, V, height, width)
    return color.reshape(*image, 3), depth.reshape(image), median.reshape(image), alpha.reshape(image)


def quats_to_matrices(quats: Tensor) -> Tensor:
    """(N, 4) wxyz of any length -> (N, 3, 3); a zero quaternion gives the identity."""
    norm = quats.norm(dim=-1, keepdim=True)
    w, x, y, z = (quats / torch.where(norm > 1e-12, norm, 1)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def project(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The Gaussians of one view on the image plane: centres (M, 2) px, spreads (M, 3), z (M,), indices (M,).

    The M that are left lie in front of the camera and have an opacity that can be seen. The spread is the 2D normal
    written as y's, then x's given y: (variance of y, slope of x's mean over y, variance of x given y).
    """
    R, t = T_camera_world[:3, :3], T_camera_world[:3, 3]
    in_camera = means @ R.T + t
    kept = torch.nonzero((in_camera[:, 2] > NEAR) & (in_camera[:, 2] < FAR) & (opacities >= ALPHA_MIN)).squeeze(-1)
    x, y, z = in_camera[kept].unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    center = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)

    margin_x, margin_y = FIELD_OF_VIEW_MARGIN * width / (2 * fx), FIELD_OF_VIEW_MARGIN * height / (2 * fy)
    u = torch.clamp(x / z, -cx / fx - margin_x, (width - cx) / fx + margin_x)
    v = torch.clamp(y / z, -cy / fy - margin_y, (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [torch.stack([fx / z, zero, -fx * u / z], -1), torch.stack([zero, fy / z, -fy * v / z], -1)], -2
    )
    # A spans the projected ellipse: covariance = A A^T + low pass
    A = jacobian @ R @ quats_to_matrices(quats[kept]) * scales[kept][:, None, :]
    c00 = (A[:, 0] * A[:, 0]).sum(-1) + LOW_PASS
    c01 = (A[:, 0] * A[:, 1]).sum(-1)
    c11 = (A[:, 1] * A[:, 1]).sum(-1) + LOW_PASS
    # the determinant as a sum of squares (Cauchy-Binet): c00 c11 - c01^2 cancels for long thin Gaussians in float32
    minors = torch.linalg.cross(A[:, 0], A[:, 1])
    determinant = LOW_PASS * (c00 + c11 - LOW_PASS) + (minors * minors).sum(-1)
    spread = torch.stack([c11, c01 / c11, determinant / c11], -1)
    finite = (determinant.detach() < LARGEST_DETERMINANT).nonzero().squeeze(-1)
    return center[finite], spread[finite], z[finite], kept[finite]


def composite(
    pixels: Tensor, center: Tensor, spread: Tensor, z: Tensor, opacities: Tensor, colors: Tensor, background: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Blend M splats, nearest first, at ``pixels`` (P, 2): colour (P, 3), depth, median depth, alpha (P,)."""
    offset = pixels[:, None] - center
    variance_y, slope, variance_x = spread.unbind(-1)
    along = offset[..., 0] - slope * offset[..., 1]
    power = -0.5 * (along**2 / variance_x + offset[..., 1] ** 2 / variance_y)
    alpha = (opacities * torch.exp(power)).clamp(max=ALPHA_MAX)
    alpha = torch.where(alpha >= ALPHA_MIN, alpha, torch.zeros_like(alpha))

    after = torch.cumprod(1 - alpha, dim=-1)
    before = torch.cat([torch.ones_like(after[:, :1]), after], dim=-1)[:, : after.shape[1]]
    reached = after > TRANSMITTANCE_MIN
    weight = torch.where(reached, before * alpha, torch.zeros_like(alpha))
    total = weight.sum(-1)
    color = weight @ colors + (1 - total)[:, None] * background
    seen = total > 0
    depth = torch.where(seen, weight @ z, 0) / torch.where(seen, total, 1)

    halfway = (reached & (before > 0.5) & (after <= 0.5)).to(z.dtype)  # one Gaussian of a pixel at most
    return color, depth, halfway @ z.detach(), total
