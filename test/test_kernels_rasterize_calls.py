"""The native CPU rasteriser's promises: threads, instruction sets, batches, strides, gradients, what it refuses."""

from __future__ import annotations

import threading
from dataclasses import replace

import native_kernels
import pytest
import torch
from rasterize_scenes import IMAGE_TOLERANCE, Scene, gradients, random_scene

from mvgamba_ros.kernels import native
from mvgamba_ros.kernels.rasterize import choose_backend, rasterize
from mvgamba_ros.kernels.rasterize_cpu import rasterize_cpu


def test_the_result_is_the_same_to_the_bit_for_any_number_of_threads() -> None:
    scene = random_scene(2, 3000, 3, 90, 70)
    g = torch.Generator().manual_seed(0)
    weights = tuple(torch.randn(3, 70, 90, *tail, generator=g) for tail in ((3,), (), ()))
    results = native_kernels.by_threads(lambda: (scene.draw(90, 70, "cpu"), gradients(scene, 90, 70, "cpu", weights)))
    for images, grads in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(images, results[0][0], strict=True))
        assert all(torch.equal(grads[name], expected) for name, expected in results[0][1].items())


def test_python_threads_may_draw_at_the_same_time() -> None:
    scenes = [random_scene(seed, 500, 2, 64, 64) for seed in range(4)]
    expected = [scene.draw(64, 64, "cpu") for scene in scenes]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(5):
            drawn = scenes[i].draw(64, 64, "cpu")
            if not all(torch.equal(a, b) for a, b in zip(drawn, expected[i], strict=True)):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(scenes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_the_baseline_instruction_set_draws_the_same_picture() -> None:
    baseline = {"avx2": "sse2", "avx512": "sse2"}.get(native.instruction_set())
    if baseline is None:
        pytest.skip("this machine runs the baseline already")
    scene = random_scene(3, 800, 2, 64, 48)
    batched = {name: x.unsqueeze(0) for name, x in scene.tensors().items()}
    background = batched.pop("background")
    best, other = (
        rasterize_cpu(**batched, width=64, height=48, background=background, instructions=i) for i in (None, baseline)
    )
    assert ((best[0] - other[0]).abs().amax(-1) > IMAGE_TOLERANCE).double().mean() < 0.001


def test_scenes_drawn_in_one_call_are_those_drawn_one_by_one() -> None:
    scenes = [random_scene(seed, 200, 2, 50, 40) for seed in range(3)]
    stacked = Scene(**{name: torch.stack([s.tensors()[name] for s in scenes]) for name in scenes[0].tensors()})
    together = stacked.requiring_gradients()
    drawn = together.draw(50, 40, "cpu")
    drawn.color.square().sum().backward()
    for b, scene in enumerate(scenes):
        alone = scene.requiring_gradients()
        expected = alone.draw(50, 40, "cpu")
        expected.color.square().sum().backward()
        assert all(torch.equal(image[b], e) for image, e in zip(drawn, expected, strict=True))
        assert torch.equal(together.means.grad[b], alone.means.grad)
        assert torch.equal(together.T_camera_world.grad[b], alone.T_camera_world.grad)


def test_strided_and_expanded_tensors_are_drawn_as_their_copies_are() -> None:
    scene = random_scene(4, 100, 2, 32, 32)
    strided = replace(
        scene,
        means=scene.means.T.contiguous().T,
        colors=scene.colors.repeat(1, 2)[:, ::2][:, [0, 0, 0]],
        opacities=scene.opacities[:1].expand(100),
        T_camera_world=scene.T_camera_world[:1].expand(2, 4, 4),
    )
    copies = Scene(**{name: x.contiguous().clone() for name, x in strided.tensors().items()})
    assert not strided.means.is_contiguous()
    assert torch.equal(strided.draw(32, 32, "cpu").color, copies.draw(32, 32, "cpu").color)


def test_the_backward_pass_can_be_repeated() -> None:
    scene = random_scene(5, 50, 1, 32, 32).requiring_gradients()
    loss = scene.draw(32, 32, "cpu").color.sum()
    (first,) = torch.autograd.grad(loss, scene.means, retain_graph=True)
    (second,) = torch.autograd.grad(loss, scene.means)
    assert torch.equal(first, second)


def test_the_pose_gradient_pulls_a_nudged_camera_back() -> None:
    scene = random_scene(6, 300, 2, 64, 64)
    truth = scene.draw(64, 64, "cpu").color
    shift = torch.tensor([[0.01, -0.008, 0.0], [-0.006, 0.01, 0.005]]).requires_grad_()
    start = shift.detach().norm(dim=-1).max()
    optimiser = torch.optim.Adam([shift], lr=1e-3)
    for _ in range(60):
        optimiser.zero_grad()
        T = scene.T_camera_world + torch.nn.functional.pad(shift[..., None], (3, 0, 0, 1))
        (replace(scene, T_camera_world=T).draw(64, 64, "cpu").color - truth).square().mean().backward()
        optimiser.step()
    assert shift.detach().norm(dim=-1).max() < 0.1 * start


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("means", torch.zeros(20, 2), r"means \(1, 20, 2\): expected \(1, 20, 3\)"),
        ("quats", torch.zeros(20, 3), r"quats .* expected \(1, 20, 4\)"),
        ("scales", torch.zeros(19, 3), r"scales .* expected \(1, 20, 3\)"),
        ("opacities", torch.zeros(20, 1), r"opacities .* expected \(1, 20\)"),
        ("colors", torch.zeros(20, 4), r"colors .* expected \(1, 20, 3\)"),
        ("T_camera_world", torch.zeros(2, 3, 4), r"T_camera_world .* expected \(1, 2, 4, 4\)"),
        ("K", torch.zeros(3, 3, 3), r"K .* expected \(1, 2, 3, 3\)"),
        ("background", torch.zeros(4), r"background .* expected \(3,\)"),
        ("means", torch.zeros(3), r"expected \(N, 3\)"),
        ("T_camera_world", torch.zeros(4, 4), r"expected \(V, 4, 4\)"),
        ("colors", torch.zeros(20, 3, dtype=torch.uint8), "colors is torch.uint8 on cpu: expected torch.float32"),
        ("means", torch.zeros(20, 3, dtype=torch.bfloat16), "expected torch.float32 or torch.float64"),
        ("colors", torch.zeros(20, 3, device="meta"), "expected torch.float32 on cpu"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_with_the_expected_shape(name, value, expected) -> None:
    scene = replace(random_scene(0, 20, 2, 16, 16), **{name: value})
    with pytest.raises(ValueError, match=expected):
        rasterize(**scene.tensors(), width=16, height=16)


def test_an_image_size_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="width 0: expected 1 to 16384 pixels"):
        random_scene(0, 2, 1, 16, 16).draw(0, 16, "cpu")


def test_the_backend_follows_the_tensors_unless_one_is_asked_for() -> None:
    assert choose_backend(torch.zeros(1), None) == "cpu"
    assert choose_backend(torch.zeros(1, dtype=torch.float64), None) == "reference"
    assert choose_backend(torch.zeros(1), "reference") == "reference"
    with pytest.raises(ValueError, match=r"'cuda' takes float32 tensors on cuda, not torch\.float32 on cpu"):
        choose_backend(torch.zeros(1), "cuda")
    with pytest.raises(ValueError, match="expected one of reference, cpu, cuda, tiled"):
        choose_backend(torch.zeros(1), "gpu")
