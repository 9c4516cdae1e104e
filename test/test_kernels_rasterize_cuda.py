"""The CUDA adapters: on a CPU, what they hand to gsplat and diff-gaussian-rasterization and what they make of the
answer; with a GPU, the pictures themselves.

The stand-ins below have the signatures of the pinned versions (gsplat 1.5.3, diff-gaussian-rasterization 59f5f77)
and draw with the reference, from nothing but the arguments they were given, by those packages' conventions. Where a
package is installed, its signature is compared with the stand-in's.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from mvgamba_ros.kernels import rasterize_cuda as adapters
from mvgamba_ros.kernels.rasterize import rasterize
from mvgamba_ros.kernels.rasterize_reference import project, rasterize_reference
from mvgamba_ros.kernels.rasterize_tiled import draw_tiled

SIZE: dict[str, Any] = {"width": 33, "height": 21}


def arguments(V: int = 2, N: int = 25, device: str = "cpu") -> list[Any]:
    """means ... background of one scene, float32; off-centre cameras and opacities below the clamps."""
    g = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g)

    T = torch.eye(4).repeat(V, 1, 1)
    T[:, 2, 3] = 2
    T[1:, :2, :2] = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    K = torch.tensor([[30.0, 0, 14], [0, 35, 12], [0, 0, 1]]).repeat(V, 1, 1)
    given = [uniform(N, 3) - 0.5, uniform(N, 4) - 0.5, 0.02 + 0.1 * uniform(N, 3), 0.05 + 0.8 * uniform(N)]
    return [x.to(device) for x in (*given, uniform(N, 3), T, K, uniform(V, 3))]


def draw(adapter: Callable[..., Any], given: list[Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return adapter(*given[:7], SIZE["width"], SIZE["height"], given[7])


def reference(given: list[Any]) -> list[Tensor]:
    scene = [x[None] for x in given[:7]]
    images = rasterize_reference(*scene, SIZE["width"], SIZE["height"], given[7][None])
    return [image[0] for image in images]


def gsplat_rasterization(
    means, quats, scales, opacities, colors, viewmats, Ks, width, height, near_plane=0.01, far_plane=1e10,
    radius_clip=0.0, eps2d=0.3, sh_degree=None, packed=True, tile_size=16, backgrounds=None, render_mode="RGB",
    sparse_grad=False, absgrad=False, rasterize_mode="classic", channel_chunk=32, distributed=False,
    camera_model="pinhole", segmented=False, covars=None, with_ut=False, with_eval3d=False, radial_coeffs=None,
    tangential_coeffs=None, thin_prism_coeffs=None, ftheta_coeffs=None, rolling_shutter=None, viewmats_rs=None,
):  # fmt: skip
    assert (near_plane, far_plane, eps2d, packed, render_mode) == (0.01, 1e10, 0.3, False, "RGB+ED")
    assert backgrounds.shape == (len(viewmats), 3)
    scene = [x[None] for x in (means, quats, scales, opacities, colors, viewmats, Ks)]
    color, depth, _, alpha = rasterize_reference(*scene, width, height, backgrounds[None])
    V, N = len(viewmats), len(means)
    found = {
        "means2d": torch.full((V, N, 2), -1e3),
        "conics": torch.ones(V, N, 3),
        "depths": torch.full((V, N), torch.inf),
        "opacities": opacities.expand(V, N),
        "tile_size": tile_size,
        "isect_offsets": torch.zeros(V, 1, 1, dtype=torch.int32),
        "flatten_ids": torch.zeros(0, dtype=torch.int32),
    }
    for v in range(V):
        center, spread, z, kept = project(means, quats, scales, opacities, viewmats[v], Ks[v], width, height)
        var_y, slope, var_x = spread.unbind(-1)
        found["means2d"][v, kept], found["depths"][v, kept] = center, z
        conic = torch.stack([1 / var_x, -slope / var_x, slope**2 / var_x + 1 / var_y], -1)
        found["conics"][v, kept] = conic
    gsplat_rasterization.depths = found["depths"]  # type: ignore[attr-defined]  # for the stand-in below
    return torch.cat([color[0], depth[0, ..., None]], -1), alpha[0, ..., None], found


def gsplat_rasterize_to_indices_in_range(
    range_start, range_end, transmittances, means2d, conics, opacities, image_width, image_height, tile_size,
    isect_offsets, flatten_ids,
):  # fmt: skip
    """Every pixel-Gaussian pair with alpha above 1/255, pixel by pixel, nearest first."""
    V = len(opacities)
    assert transmittances.shape == (V, image_height, image_width)
    ys, xs = torch.meshgrid(torch.arange(image_height) + 0.5, torch.arange(image_width) + 0.5, indexing="ij")
    order = gsplat_rasterization.depths.argsort(-1)  # type: ignore[attr-defined]
    triples = []
    for v in range(V):
        d = torch.stack([xs.flatten(), ys.flatten()], -1)[:, None] - means2d[v, order[v]]
        a, b, c = conics[v, order[v]].unbind(-1)
        alpha = opacities[v, order[v]] * torch.exp(
            -0.5 * (a * d[..., 0] ** 2 + c * d[..., 1] ** 2) - b * d[..., 0] * d[..., 1]
        )
        pixel, nth = torch.nonzero(alpha >= 1 / 255, as_tuple=True)
        triples.append((order[v][nth], pixel, torch.full_like(pixel, v)))
    return tuple(torch.cat(parts) for parts in zip(*triples, strict=True))


class GaussianRasterizationSettings(NamedTuple):
    image_height: int
    image_width: int
    tanfovx: float
    tanfovy: float
    bg: Tensor
    scale_modifier: float
    viewmatrix: Tensor
    projmatrix: Tensor
    sh_degree: int
    campos: Tensor
    prefiltered: bool
    debug: bool


class GaussianRasterizer(torch.nn.Module):
    def __init__(self, raster_settings):
        super().__init__()
        self.raster_settings = raster_settings

    def forward(
        self,
        means3D,
        means2D,
        opacities,
        shs=None,
        colors_precomp=None,
        scales=None,
        rotations=None,
        cov3D_precomp=None,
    ):
        s = self.raster_settings
        width, height = s.image_width, s.image_height
        assert means2D.shape == means3D.shape and opacities.shape == (len(means3D), 1)
        to_clip = s.projmatrix.T
        # the pixel, whose centre is whole there, is ((ndc + 1) size - 1) / 2
        K = torch.eye(3)
        K[0, 0], K[1, 1] = width / (2 * s.tanfovx), height / (2 * s.tanfovy)
        K[0, 2], K[1, 2] = (to_clip[0, 2] + 1) * width / 2, (to_clip[1, 2] + 1) * height / 2
        assert torch.allclose(to_clip[[0, 1], [0, 1]] * torch.tensor([width, height]) / 2, K.diagonal()[:2])
        covariance = torch.zeros(len(means3D), 3, 3)
        upper = torch.triu_indices(3, 3)
        covariance[:, upper[0], upper[1]] = cov3D_precomp
        covariance = covariance + covariance.triu(1).transpose(1, 2)
        # back to scales and rotations, as the reference wants them
        variances, axes = torch.linalg.eigh(covariance.detach())
        axes = axes * torch.linalg.det(axes).sign()[:, None, None]
        quats = torch.stack([_quaternion(R) for R in axes])
        color, *_ = rasterize_reference(
            *(x[None] for x in (means3D, quats, variances.clamp_min(0).sqrt(), opacities[:, 0], colors_precomp)),
            s.viewmatrix.T[None, None], K[None, None], width, height, s.bg[None, None],
        )  # fmt: skip
        return color[0, 0].permute(2, 0, 1), torch.ones(len(means3D), dtype=torch.int32)


def _quaternion(R: Tensor) -> Tensor:
    """wxyz of a rotation: the eigenvector of the largest eigenvalue of Bar-Itzhack's matrix."""
    (a, b, c), (d, e, f), (g, h, i) = R.tolist()
    M = torch.tensor(
        [
            [a - e - i, b + d, c + g, h - f],
            [b + d, e - a - i, f + h, c - g],
            [c + g, f + h, i - a - e, d - b],
            [h - f, c - g, d - b, a + e + i],
        ]
    )
    x, y, z, w = torch.linalg.eigh(M / 3)[1][:, -1].tolist()
    return torch.tensor([w, x, y, z])


@pytest.fixture
def gsplat(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("gsplat")
    module.rasterization = gsplat_rasterization  # type: ignore[attr-defined]
    module.rasterize_to_indices_in_range = gsplat_rasterize_to_indices_in_range  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gsplat", module)


@pytest.fixture
def inria(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("diff_gaussian_rasterization")
    module.GaussianRasterizationSettings = GaussianRasterizationSettings  # type: ignore[attr-defined]
    module.GaussianRasterizer = GaussianRasterizer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "diff_gaussian_rasterization", module)


def test_gsplat_gets_what_it_needs_to_draw_the_picture_and_its_median_depth(gsplat) -> None:
    given = arguments()
    with torch.no_grad():
        drawn = draw(adapters.draw_gsplat, given)
    for image, expected in zip(drawn, reference(given), strict=True):
        assert image.shape == expected.shape
        assert torch.allclose(image, expected, atol=1e-5)
    assert (drawn[2] > 0).any()


def test_gsplat_is_spared_the_median_pass_while_gradients_are_on(gsplat) -> None:
    assert draw(adapters.draw_gsplat, arguments())[2].isnan().all()


def test_diff_gaussian_rasterization_gets_what_it_needs_to_draw_picture_depth_and_alpha(inria) -> None:
    given = arguments()
    color, depth, median, alpha = draw(adapters.draw_inria, given)
    expected = reference(given)
    assert torch.allclose(color, expected[0], atol=1e-4)
    assert torch.allclose(depth, expected[1], atol=1e-3)
    assert torch.allclose(alpha, expected[3], atol=1e-4)
    assert median.isnan().all()


@pytest.fixture(autouse=True)
def untried() -> Iterator[None]:
    """Which package works is found anew in every test."""
    adapters.working_rasteriser.cache_clear()
    yield
    adapters.working_rasteriser.cache_clear()


def test_where_not_even_torch_draws_the_message_says_what_is_wrong_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", broken_gsplat())
    monkeypatch.setitem(sys.modules, "diff_gaussian_rasterization", None)
    monkeypatch.setattr(adapters, "draw_tiled", lambda *given: 0 / 0)
    with pytest.raises(RuntimeError, match=r"gsplat: RuntimeError.*diff_gaussian_rasterization: .*torch: ZeroDivision"):
        adapters.working_rasteriser("cpu")


def test_the_first_package_that_draws_a_gaussian_rightly_is_taken(gsplat) -> None:
    assert adapters.working_rasteriser("cpu") is adapters.draw_gsplat


def broken_gsplat() -> ModuleType:
    """As one that was built for another GPU."""
    package = ModuleType("gsplat")

    def rasterization(**_: Any) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    package.rasterization = rasterization  # type: ignore[attr-defined]
    return package


def test_one_that_fails_is_passed_over_with_a_warning_that_says_why(inria, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", broken_gsplat())
    with pytest.warns(UserWarning, match="gsplat does not work: RuntimeError: CUDA error: no kernel image"):
        assert adapters.working_rasteriser("cpu") is adapters.draw_inria


def test_one_that_draws_something_else_is_not_taken(gsplat, monkeypatch: pytest.MonkeyPatch) -> None:
    import gsplat as package

    rasterization = package.rasterization

    def darker(**given: Any) -> Any:
        drawn, alpha, found = rasterization(**given)
        return 0.5 * drawn, alpha, found

    monkeypatch.setattr(package, "rasterization", darker)
    monkeypatch.setitem(sys.modules, "diff_gaussian_rasterization", None)
    with pytest.warns(UserWarning, match="torch draws on cpu, as gsplat does not work: its answer is off by"):
        assert adapters.working_rasteriser("cpu") is draw_tiled


@pytest.mark.skipif(find_spec("gsplat") is None, reason="gsplat is not installed")
def test_the_installed_gsplat_has_the_pinned_signature() -> None:
    import gsplat

    for ours, theirs in (
        (gsplat_rasterization, gsplat.rasterization),
        (gsplat_rasterize_to_indices_in_range, gsplat.rasterize_to_indices_in_range),
    ):
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_cuda_backend_draws_the_reference_s_picture_and_gradients() -> None:
    given = arguments(device="cuda")
    names = ["means", "quats", "scales", "opacities", "colors", "T_camera_world", "K", "background"]
    results: list[Any] = []
    for backend in ("cuda", "reference"):
        scene: dict[str, Any] = {
            n: x.clone().requires_grad_(n not in ("K", "background")) for n, x in zip(names, given, strict=True)
        }
        drawn = rasterize(**scene, **SIZE, backend=backend)
        (drawn.color.square().sum() + drawn.alpha.sum() + (drawn.depth * drawn.alpha).sum()).backward()
        results.append((drawn, {n: x.grad for n, x in scene.items() if x.requires_grad}))
    (ours, our_gradients), (expected, gradients) = results
    assert (ours.color - expected.color).abs().max() < 1e-3
    assert (ours.alpha - expected.alpha).abs().max() < 1e-3
    for name, gradient in gradients.items():
        assert (our_gradients[name] - gradient).abs().max() < 1e-2 * gradient.abs().max(), name
    with torch.no_grad():
        median = rasterize(*given[:7], **SIZE, background=given[7], backend="cuda").median_depth
    assert ((median - expected.median_depth).abs() > 1e-3).double().mean() < 0.01
