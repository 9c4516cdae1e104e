"""Gaussians laid on a mesh: on it, flat, facing outward, closed, of the colours that the views see."""

import numpy as np
import torch
import trimesh

from mvgamba_ros.config.splats_config import SplatConfig
from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.rendering.splats import render_gaussians
from mvgamba_ros.splats.from_mesh import gaussians_on_mesh
from mvgamba_ros.types import Camera, Gaussians, Mesh, View

CAMERA = Camera(np.array([[250.0, 0, 64], [0, 250, 64], [0, 0, 1]]), 128, 128)


def block() -> Mesh:
    made = trimesh.creation.box((0.06, 0.04, 0.08))
    return Mesh(np.asarray(made.vertices), made.faces.astype(np.int32), np.tile(np.uint8([0, 200, 0]), (8, 1)))


def alpha(gaussians: Gaussians, eye: np.ndarray) -> torch.Tensor:
    T = torch.tensor(inverse(look_at(eye, np.zeros(3)))).float()[None]
    return render_gaussians(gaussians, T, torch.tensor(CAMERA.K).float()[None], 128, 128).alpha[0]


def test_they_lie_on_the_surface_flat_along_it():
    laid = gaussians_on_mesh(block(), [], SplatConfig(count=3000))
    half = torch.tensor([0.03, 0.02, 0.04])
    off = (laid.means.abs() - half).abs()
    assert float(off.amin(1).max()) < 1e-6
    # the thin axis, the third, is the face's
    w, x, y, z = laid.quats.unbind(1)
    thin = torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    assert torch.equal(thin.abs().argmax(1), off.argmin(1))
    assert float(((thin * laid.means).sum(1)).min()) > 0  # and outward
    assert torch.allclose(laid.scales[:, 2], SplatConfig().flatness * laid.scales[:, 0])


def test_they_close_the_surface():
    """From any side the middle of the block is opaque, whichever faces are seen."""
    laid = gaussians_on_mesh(block(), [], SplatConfig(count=4000))
    for eye in (np.array([0.3, 0.0, 0.02]), np.array([0.1, 0.2, 0.2]), np.array([-0.1, -0.25, -0.1])):
        assert alpha(laid, eye)[60:68, 60:68].min() > 0.97


def test_where_no_view_looks_they_have_the_meshs_colours():
    laid = gaussians_on_mesh(block(), [], SplatConfig(count=100))
    assert torch.allclose(laid.colors, torch.tensor([0.0, 200 / 255, 0.0]))


def test_what_a_view_sees_has_its_colours():
    pose = look_at(np.array([0.3, 0.0, 0.0]), np.zeros(3))
    image = np.zeros((128, 128, 3), np.uint8)
    image[:64] = (255, 0, 0)
    image[64:] = (0, 0, 255)
    laid = gaussians_on_mesh(
        block(), [View(image, CAMERA, pose, mask=np.ones((128, 128), bool))], SplatConfig(count=3000)
    )
    front = laid.means[:, 0] > 0.0299
    red, blue = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])
    above = front & (laid.means[:, 2] > 0.003)
    below = front & (laid.means[:, 2] < -0.003)
    assert torch.allclose(laid.colors[above], red, atol=0.01) and torch.allclose(laid.colors[below], blue, atol=0.01)
