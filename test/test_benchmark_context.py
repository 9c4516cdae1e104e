"""The benchmark of context across views: what it damages, what its networks can see, that it resumes and counts."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import rendered
import torch
import trimesh
from tiny_training import CASCADED, weights

from benchmarks import blocks, context, context_meshes, context_table
from benchmarks.context_conditions import CONDITIONS, ONE_VIEW, observe, training_fault
from benchmarks.context_data import capture_item
from benchmarks.context_networks import USUAL, VARIANTS, Attention, AttentionApart, Variant, ViewsApart, scan_orders
from benchmarks.context_scores import MEASURES, Case, network_forward, score_cases
from benchmarks.context_training import Learner, Plan, averaged_network, keep_average, learners, train_to
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.model.raygamba_config import RayGambaConfig
from mvgamba_ros.synthesis.data_format import DEPTH_UNIT
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.training.train_config import TrainConfig
from mvgamba_ros.types import Mesh


@dataclass(frozen=True)
class TinyPlan(Plan):
    """A plan whose objects are there, and whose steps are one object of two views each."""

    def config(self, name: str, variant: Variant, seed: int) -> TrainConfig:
        return replace(super().config(name, variant, seed), view_counts={2: 1.0})

    def folders(self, samples: int, log: object = print) -> list[Path]:
        return [self.data]


def tiny(data: Path) -> TinyPlan:
    return TinyPlan(data, samples=100, crop=32, width=32, views_per_step=2, precision="fp32", save_minutes=1e6)


def never() -> bool:
    return False


def quiet(line: str) -> None:
    pass


def test_every_variant_trains_on_the_same_batches_and_resumes_to_the_same_numbers(data: Path, tmp_path: Path) -> None:
    plan = tiny(data)
    whole = learners(plan, USUAL, 0, tmp_path / "whole", quiet)
    before = {name: weights(one).clone() for name, one in whole.items()}
    assert train_to(plan, whole, 3, never, quiet)

    parts = learners(plan, USUAL, 0, tmp_path / "parts", quiet)
    assert train_to(plan, parts, 1, never, quiet)
    late = {name: one for name, one in parts.items() if name != "4 blocks"}
    assert train_to(plan, late, 2, never, quiet)  # as where a run dies before all states are written
    resumed = learners(plan, USUAL, 0, tmp_path / "parts", quiet)
    assert {one.step for one in resumed.values()} == {1, 2}
    assert train_to(plan, resumed, 3, never, quiet)
    for name, one in resumed.items():
        assert one.samples == whole[name].samples == 3
        assert not torch.equal(weights(one), before[name])
        torch.testing.assert_close(weights(one), weights(whole[name]), atol=1e-6, rtol=1e-5)


def test_a_signal_ends_a_run_after_its_step_with_all_saved(data: Path, tmp_path: Path) -> None:
    plan, calls = tiny(data), iter([False, True])
    running = learners(plan, ["no blocks"], 0, tmp_path, quiet)
    assert not train_to(plan, running, 50, lambda: next(calls), quiet)
    assert learners(plan, ["no blocks"], 0, tmp_path, quiet)["no blocks"].step == 1


def test_averaged_weights_are_kept_once_and_read_back(data: Path, tmp_path: Path) -> None:
    plan = tiny(data)
    one = learners(plan, ["12 of attention"], 0, tmp_path, quiet)["12 of attention"]
    keep_average(one, tmp_path / "kept" / "average.pt")
    first = {name: value.clone() for name, value in one.ema.items()}
    assert train_to(plan, {"": one}, 2, never, quiet)
    keep_average(one, tmp_path / "kept" / "average.pt")
    read = averaged_network(Attention, one.config.model, tmp_path / "kept" / "average.pt")
    assert all(torch.equal(value, first[name]) for name, value in read.state_dict().items())


@pytest.mark.parametrize("kind", [RayGamba, ViewsApart, Attention, AttentionApart])
def test_one_sequence_carries_what_changes_in_a_view_to_the_others_and_views_apart_do_not(
    kind: type[RayGamba],
) -> None:
    torch.manual_seed(0)
    network = kind(RayGambaConfig(size=32, width=32, orders=scan_orders(3))).eval()
    tokens = network.tokens**2
    x, keep = torch.randn(2, 3 * tokens, 32), torch.rand(2, 3 * tokens) > 0.4
    keep[1, :tokens] = False  # a scene may have fewer tokens than the other: the rest is padding
    ranks = torch.tensor([[0, 1, 2], [2, 0, 1]])
    changed = x.clone()
    changed[0, :tokens] += 1
    with torch.no_grad():
        before, after, alone = (
            network._scan(*given) for given in ((x, keep, ranks), (changed, keep, ranks), (x[1:], keep[1:], ranks[1:]))
        )
    moved = (after - before)[0, tokens:].abs().max()
    assert moved > 1e-3 if kind in (RayGamba, Attention) else moved == 0
    assert (after - before)[1].abs().max() == 0
    torch.testing.assert_close(before[1:], alone)
    assert before[~keep].abs().max() == 0


def test_attention_blocks_have_as_many_weights_as_mamba_blocks_and_the_variants_differ_by_blocks_alone() -> None:
    base = RayGambaConfig(size=32)
    size = {name: sum(p.numel() for p in v.kind(v.config(base)).parameters()) for name, v in VARIANTS.items()}
    mamba, attention = (size[name] - size["no blocks"] for name in ("12 blocks", "12 of attention"))
    assert 0.8 < attention / mamba < 1.05
    assert size["12 blocks"] == size["12 blocks, views apart"]
    assert VARIANTS["24 blocks"].gigaflops(base, 100) == pytest.approx(2 * VARIANTS["12 blocks"].gigaflops(base, 100))
    longer = [Variant(Attention, 1).gigaflops(base, tokens) for tokens in (100, 200)]
    assert longer[1] > 2 * longer[0]


@pytest.mark.parametrize("fault", ONE_VIEW)
def test_a_fault_changes_one_view_alone_and_says_which(data: Path, fault: str) -> None:
    item = Shards(data)[1]
    clean, damaged = (observe(item, 3, replace(CONDITIONS["4 views"], one=one), 96, 48) for one in ("", fault))
    assert clean.faulty == damaged.faulty
    names = {"pixels": ["rgb"], "mask": ["alpha"], "pose": ["T_cube_camera"]}[fault]
    for name in names:
        change = (getattr(damaged.sample, name) - getattr(clean.sample, name))[0].flatten(1).abs().amax(1)
        assert [v for v in range(4) if change[v] > 1e-3] == [damaged.faulty]


def test_training_faults_leave_at_least_half_of_several_views_as_they_are(data: Path) -> None:
    item = Shards(data)[0]
    for seed in range(10):
        copy = {name: np.array(value) for name, value in item.items()}
        training_fault(copy, np.random.default_rng(seed))
        changed = [
            any((copy[name][v] != item[name][v]).any() for name in ("rgb", "alpha", "T_world_camera"))
            for v in range(len(item["rgb"]))
        ]
        assert 1 <= sum(changed) <= len(changed) // 2


def test_all_blocks_kept_are_the_network_and_none_are_a_network_without(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = RayGamba(CASCADED).eval()
    assert set(blocks.parts(network)) == {blocks.ALL, "views apart", "none across views", "first half", "none"}
    forwards = {name: network_forward(part, False) for name, part in blocks.parts(network).items()}
    forwards["again"] = network_forward(blocks.with_blocks(network, range(2)), False)
    items = [Shards(data)[i] for i in range(2)]
    cases = [Case(name, items, CONDITIONS[name]) for name in ("4 views", "1 view", "one view's pose")]
    scores = score_cases(cases, forwards, network.config, tmp_path / "scores.json", log=quiet)
    four = scores["4 views"]
    assert four["again"]["depth_mm"] == four[blocks.ALL]["depth_mm"] != four["none"]["depth_mm"]
    assert four["views apart"]["depth_mm"] != four[blocks.ALL]["depth_mm"]
    assert scores["1 view"]["views apart"]["depth_mm"] == pytest.approx(scores["1 view"][blocks.ALL]["depth_mm"])
    faulty, others = (scores["one view's pose"][blocks.ALL][m] for m in ("faulty_mm", "others_mm"))
    assert np.isfinite([faulty, others]).all()

    assert (
        score_cases(cases, forwards, network.config, tmp_path / "scores.json", log=pytest.fail).keys() == scores.keys()
    )


def test_meshes_are_those_of_each_network_in_turn_and_the_method_keeps_its_own(data: Path, tmp_path: Path) -> None:
    options = context_meshes.held_out_options()
    own = context_meshes.load_method(options).network
    torch.manual_seed(0)
    network = RayGamba(CASCADED).eval()
    networks = {"one": network, "none": blocks.with_blocks(network, [])}
    cases = {"2 views": CONDITIONS["2 views"]}
    scores = context_meshes.score_meshes([Shards(data)[1]], cases, networks, tmp_path / "meshes.json")
    one, none = (scores["2 views"][name]["chamfer_mm"] for name in networks)
    assert one != none and 0 < one[0] < 50
    assert context_meshes.load_method(options).network is own


def test_depths_of_a_capture_are_those_of_its_scan(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(4, 1.0)
    vertices = np.asarray(ball.vertices) * rendered.SIZE / 2 + rendered.CENTER
    write_capture(tmp_path, rendered.views(4))
    truth = Mesh(vertices, np.asarray(ball.faces, np.int32), np.full((len(vertices), 3), 160, np.uint8))
    write_mesh(tmp_path / "truth.ply", truth)
    item = capture_item(tmp_path)
    assert item["ring"] == 4
    for v in range(4):
        hit = (item["depth_front"][v] > 0) & (item["alpha"][v] > 127)
        row, column = np.argwhere(hit).T
        for name in ("depth_front", "depth_back"):
            z = item[name][v][row, column] * DEPTH_UNIT
            ahead = np.linalg.inv(item["K"][v]) @ np.stack([column + 0.5, row + 0.5, np.ones(len(row))])
            T = item["T_world_camera"][v]
            at = (T[:3, :3] @ (ahead * z) + T[:3, 3:]).T
            off = np.linalg.norm((at - rendered.CENTER) / (np.array(rendered.SIZE) / 2), axis=1) - 1
            assert np.abs(off).max() < 0.02
        assert (item["depth_back"][v] >= item["depth_front"][v]).all()
        assert hit.sum() > 0.95 * (item["alpha"][v] > 127).sum()


def test_the_table_prints_paired_differences_of_the_seeds_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        hard = rng.uniform(1, 9, 8)  # objects differ more than variants do

        def of(shift: float, hard: np.ndarray = hard) -> dict[str, list[float]]:
            return {measure: list(hard + shift) for measure in MEASURES}

        case = {"no blocks": of(0), "12 blocks": of(-0.5), "12 blocks, views apart": of(-0.25)}
        case["12 blocks" + context.AT_INFERENCE] = of(1)
        for samples in (7500, 30000)[: 2 - seed]:
            file = tmp_path / f"seed-{seed}" / f"scores-{samples:06d}.json"
            file.parent.mkdir(exist_ok=True)
            faulty = {name: of(2 - 0.1 * (name == "12 blocks")) for name in case}
            scores = {"4 views": case, "2 views": {"no blocks": of(0)}, "one view's mask": faulty}
            file.write_text(json.dumps(scores))
    context_table.main([str(tmp_path), "--samples", "7500", "--plot", str(tmp_path / "plot.png")])
    printed = capsys.readouterr().out
    assert "After 7,500 samples; seeds: 0, 1." in printed and "2 views" not in printed
    assert "-0.500 (-0.500 to -0.500) | -0.250 (-0.250 to -0.250)" in printed
    assert "| one view's mask | +2.000 | +0.400 (+0.400 to +0.400) | +0.250 (+0.250 to +0.250) |" in printed
    assert "+0.250 (+0.250 to +0.250)" in printed and "+1.500 (+1.500 to +1.500)" in printed
    assert (tmp_path / "plot.png").stat().st_size > 1000
    context_table.main([str(tmp_path), "--base", "12 blocks"])
    printed = capsys.readouterr().out
    assert "After 30,000 samples; seeds: 0." in printed and "| +0.500 (+0.500 to +0.500) |" in printed
    with pytest.raises(ReconstructionError, match="there are: 7500, 30000") as refused:
        context_table.main([str(tmp_path), "--samples", "8"])
    assert refused.value.code is ErrorCode.BAD_OPTION


def test_a_variant_that_one_seed_lacks_is_named_and_shown_where_that_seed_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, names in ((0, ("no blocks", "24 blocks")), (1, ("no blocks",))):
        file = tmp_path / f"seed-{seed}" / "scores-030000.json"
        file.parent.mkdir()
        case = {name: dict.fromkeys(MEASURES, [len(name) - 5.0] * 3) for name in names}
        file.write_text(json.dumps({"4 views": case}))
    context_table.main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert "have it (--seeds 0): 24 blocks." in printed and "| depth_mm | no blocks |\n" in printed
    context_table.main([str(tmp_path), "--seeds", "0"])
    assert "| depth_mm | no blocks | 24 blocks |\n" in capsys.readouterr().out


def test_runs_are_not_gone_on_with_by_another_plan(data: Path, tmp_path: Path) -> None:
    plan = tiny(data)
    context.check_plan(plan, tmp_path / "plan.json")
    context.check_plan(replace(plan, data=tmp_path), tmp_path / "plan.json")
    with pytest.raises(ReconstructionError, match="begun with crop 32, not 64"):
        context.check_plan(replace(plan, crop=64), tmp_path / "plan.json")


def test_the_learning_rate_is_level_where_early_marks_are_read(data: Path, tmp_path: Path) -> None:
    plan = replace(tiny(data), samples=30_000)
    one = Learner(VARIANTS["no blocks"], plan.config("", VARIANTS["no blocks"], 0), tmp_path, quiet)
    rates = []
    for share in context.MARKS:
        one.samples = round(share * plan.samples) - 1
        rates.append(one.learning_rate())
    *early, last = rates
    assert set(early) == {one.config.learning_rate} and last < 0.01 * early[0]
