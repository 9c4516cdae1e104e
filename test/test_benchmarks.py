"""The benchmarks run, and what they print is what they measured."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rendered import CENTER, SIZE, views
from shapes import cuboid

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks import ablation, compare_lgm, held_out, matrix_products, middlebury, stages
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.model.checkpoint import save_checkpoint
from mvgamba_ros.model.cost_volume import hull_intervals
from mvgamba_ros.model.raygamba import RayGamba, RayGambaConfig
from mvgamba_ros.options import Options
from mvgamba_ros.rendering.crops import CropBatch
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.pose_sampling import CameraRig
from mvgamba_ros.synthesis.shards import DataRecipe, write_shards
from mvgamba_ros.types import Prompts

SMALL = RayGambaConfig(width=32, skip=8, bins=8, orders=("rows", "across"), cascade_positions=8)
RECIPE = Path(__file__).parents[1] / "config" / "raygamba-s.recipe.yaml"
TINY = ("model.width=32", "model.skip=8", "views_per_step=4", "target_views=1", "view_counts={2: 1.0}")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[stages.Seconds, CropBatch]:
    """The stages of one reconstruction with random weights, and what the network saw."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, RayGamba(SMALL), {})
    prompts = Prompts(roi=axis_parallel_box(CENTER - 0.7 * SIZE, CENTER + 0.7 * SIZE), support_height=0.0)
    options = Options(checkpoint=str(path), segmenter="masks", prompts=prompts, refine=False, hull_resolution=32)
    seen = [replace(v, depth=None) for v in views(3)]
    stages.run_pipeline(seen, options)  # what is loaded at the first call is no stage's time
    return stages.run_pipeline(seen, options)


def test_every_stage_of_a_reconstruction_is_timed_and_little_is_left_between_them(
    run: tuple[stages.Seconds, CropBatch],
) -> None:
    seconds, _ = run
    assert set(seconds) == set(stages.ROWS)
    assert seconds["refine"] == 0.0  # nobody asked
    assert all(seconds[name] > 0.0 for name in (*stages.NETWORK, *stages.AROUND, "crops", "cloud", "quality"))
    assert 0.0 <= seconds["other"] < 0.5 * sum(seconds.values())


def test_the_products_are_those_of_all_layers_and_only_those(run: tuple[stages.Seconds, CropBatch]) -> None:
    _, crops = run
    network = RayGamba(SMALL).eval()
    with torch.no_grad():
        calls = matrix_products.recorded(network, crops, hull_intervals(crops, network.config))
    used = {args[1].data_ptr() for _, args, _ in calls}
    layers = {
        name: module.weight
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.Conv1d) and not name.endswith("conv1d")
    }  # the blocks' convolutions are per channel: no matrix product
    assert used == {weight.data_ptr() for weight in layers.values()}
    views = crops.alpha.shape[1]
    view_by_view = [name for name in layers if name.startswith("cascade_head") and name != "cascade_head.ray"]
    assert len(calls) == len(layers) + (views - 1) * len(view_by_view)


def test_the_picture_of_the_stages_is_written(run: tuple[stages.Seconds, CropBatch], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    stages.draw(run[0], "a test", tmp_path / "images" / "profile.png")
    assert (tmp_path / "images" / "profile.png").read_bytes().startswith(b"\x89PNG")


def test_every_variant_of_the_ablation_is_a_network_that_can_be_built() -> None:
    narrow = ["model.width=32", "model.skip=8"]
    base = ablation.configure(RECIPE, "crops-128", ablation.BASE, 2000, 0, narrow)
    for name in ablation.VARIANTS:
        config = ablation.configure(RECIPE, "crops-128", name, 2000, 0, narrow)
        assert (config.samples, config.name) == (2000, name)
        assert name == ablation.BASE or replace(config, name=base.name) != base
        ablation.network_of(name, config)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of two objects."""
    folder = tmp_path_factory.mktemp("data")
    recipe = DataRecipe("procedural", seed=5, count=2, per_shard=2, rig=CameraRig())
    write_shards(folder, Procedural(5, 2), recipe, log=lambda line: None)
    return folder


def test_held_out_meshes_are_scored_one_by_one_and_in_all(rendered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held_out.main([str(rendered), "--method", "hull", "--views", "8"])
    lines = capsys.readouterr().out.splitlines()
    chamfer, f5, normal, *_, psnr, _, _ = map(float, lines[-1].split()[-7:])
    assert lines[-1].startswith("all (2 of 2)")
    assert (
        0 < chamfer < 10 and f5 > 0.5 and 0 < normal < 45 and psnr > 15
    )  # eight views around: the hull is near, and painted
    held_out.main([str(rendered), "--method", "hull", "--views", "2"])
    assert float(capsys.readouterr().out.splitlines()[-1].split()[-7]) > chamfer


def test_simulated_captures_hold_true_masks_and_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """True as another benchmark sees them: our segmentation agrees with the masks."""
    pytest.importorskip("mvgamba_ros.sim.engine")
    from benchmarks import segmentation, simulated

    simulated.main([str(tmp_path), "--objects", "milk", "--yaws", "0.4", "--views", "3"])
    assert capsys.readouterr().out.split() == [str(tmp_path / "milk_0")]
    segmentation.main([str(tmp_path)])
    name, mean, worst = capsys.readouterr().out.splitlines()[2].split("|")[1:4]
    assert name.strip() == "milk_0"
    assert float(mean) >= float(worst) > 0.95


def test_roughness_of_a_cube_is_the_mean_over_its_edges_and_diagonals() -> None:
    assert held_out.roughness(cuboid([0, 0, 0], [1, 1, 1])) == pytest.approx(12 * 90 / (12 + 6 * 2**0.5))


def test_the_normals_of_the_true_shape_are_right_and_those_of_a_turned_one_are_not() -> None:
    cube = cuboid([0, 0, 0], [1, 1, 1])
    middle = np.array([[0.5, 0.5, 1.0], [0.5, 0.5, 0.0], [0, 0.5, 0.5], [1, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 1, 0.5]])
    assert held_out.normal_error(cube, middle, (middle - 0.5) * 2) == pytest.approx(0, abs=1e-4)
    assert held_out.normal_error(cube, middle, (0.5 - middle) * 2) == pytest.approx(180, abs=1e-4)


def test_the_ablation_trains_measures_keeps_and_tells(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [f"data=[{rendered}]", f"validation={rendered}"]
    settings = [part for change in (*data, *TINY) for part in ("--set", change)]
    command = [str(tmp_path / "runs"), "--recipe", str(RECIPE), "--table", str(tmp_path / "table.md"), *settings]
    command += ["--only", "raygamba-s", ablation.FREE]
    ablation.main([*command, "--samples", "4"])
    first = " ".join((tmp_path / "table.md").read_text().split())
    assert "2 steps" in first and "| raygamba-s |" in first and f"| {ablation.FREE} |" in first
    capsys.readouterr()
    ablation.main([*command, "--samples", "4"])
    assert "objects" not in capsys.readouterr().out  # nothing was trained again
    with pytest.raises(ReconstructionError, match="other settings"):
        ablation.main([*command, "--samples", "6"])


def test_a_middlebury_folder_becomes_a_capture_of_the_same_cameras(tmp_path: Path) -> None:
    taken, lines = views(4), ["4"]
    for k, view in enumerate(taken):
        T = inverse(view.T_world_camera)
        numbers = [*view.camera.K.ravel(), *T[:3, :3].ravel(), *T[:3, 3]]
        lines.append(f"photo{k}.png " + " ".join(map(repr, map(float, numbers))))
        cv2.imwrite(str(tmp_path / f"photo{k}.png"), view.image[..., ::-1])
    (tmp_path / "photo_par.txt").write_text("\n".join(lines) + "\n")
    middlebury.main([str(tmp_path), str(tmp_path / "out")])
    inputs, left_out = (read_capture(tmp_path / "out", name) for name in ("transforms.json", "transforms_test.json"))
    for truth, view in zip([*taken[0::2], *taken[1::2]], [*inputs, *left_out], strict=True):
        np.testing.assert_array_equal(view.image, truth.image)
        np.testing.assert_allclose(view.T_world_camera, truth.T_world_camera, atol=1e-9)
        np.testing.assert_allclose(view.camera.K, truth.camera.K)


def test_costs_of_networks_stand_beside_those_of_a_clone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], threads: int
) -> None:
    """A clone whose U-Net is one convolution of 9 to 14 channels, 3 pixels wide, at 256 pixels and four views."""
    core = tmp_path / "core"
    core.mkdir()
    (core / "unet.py").write_text(
        "import torch\n\nclass UNet(torch.nn.Conv2d):\n    def __init__(self, in_channels, out_channels, **sizes):\n"
        "        super().__init__(in_channels, out_channels, 3, padding=1)\n"
    )
    small = RayGamba(SMALL)
    cost = compare_lgm.ours(small)
    assert cost.parameters == sum(p.numel() for p in small.parameters())
    blocks = 2 * compare_lgm.scan_flops(4 * 256, 32)
    assert cost.flops > blocks + 2 * 4 * 256 * 32 * 2 * 64  # and more than the first projections alone
    compare_lgm.main(["--lgm", str(tmp_path), "--time", "LGM big", "--repeats", "1"])
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:] for line in capsys.readouterr().out.splitlines() if "|" in line
    }
    assert float(rows["LGM big"][1].replace(",", "")) == round(2 * 4 * 256**2 * (9 * 9 * 14 + 14 * 14) / 1e9, 1)
    assert rows["mvgamba-published release"][0].strip() == "86.6 M"
    with pytest.raises(SystemExit, match="give a clone of 3DTopia/LGM"):
        compare_lgm.lgm(tmp_path / "core")
    with pytest.raises(SystemExit):
        compare_lgm.main(["--time", "tiny"])
    assert "--time 'tiny': choose among 'mvgamba (shipped)', 'mvgamba-published" in capsys.readouterr().err
