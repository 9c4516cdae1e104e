"""What blocks are worth after fusion: the meshes of a network with all its blocks, cut between views, with half, none.

usage: python -m benchmarks.context_meshes RESULTS.json --data DATA [--checkpoint FILE | --runs RUNS] [--objects 24]

Reconstructs held-out objects from their true silhouettes and poses, or from those of a fault, by the whole method,
whose network is replaced by each in turn: the parts of a checkpoint as `benchmarks.blocks` takes it apart, or with
--runs the variants that `benchmarks.context` has trained. Prints the mean chamfer distance, millimetres, and F@5mm, and
the paired differences from the first network with the interval in which their mean lies in 95 of 100 draws of objects.
Cases that RESULTS.json has are not run again.

examples:
  python -m benchmarks.context_meshes runs/meshes.json --data data/144
      the parts of the network in the package
  python -m benchmarks.context_meshes runs/context/meshes.json --data data/96 --runs runs/context --samples 30000
      the variants, trained on 30,000 samples from seed 0
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np

from benchmarks.blocks import parts
from benchmarks.context_conditions import CONDITIONS, Condition, disturbed
from benchmarks.context_data import Item, held_out_items
from benchmarks.context_networks import VARIANTS
from benchmarks.context_scores import MEASURES, Scores, differences
from benchmarks.context_training import Plan, averaged_network, slug
from benchmarks.held_out import as_view, held_out_options
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.factories import load_method
from mvgamba_ros.io.atomic_writes import write_file
from mvgamba_ros.kernels.autocast import halve_weights
from mvgamba_ros.methods.mvgamba import MVGambaMethod
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.types import Prompts

CASES = ("4 views", "2 views", "one view's pixels", "one view's mask", "one view's pose")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", metavar="RESULTS", type=Path, help="JSON file of the scores, object by object")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of `benchmarks.blocks` or `benchmarks.context`"
    )
    parser.add_argument("--checkpoint", type=Path, default=SHIPPED, help="weights to take apart (those in the package)")
    parser.add_argument("--runs", type=Path, help="folder of `benchmarks.context`: its variants instead")
    parser.add_argument("--samples", type=int, default=30_000, help="of the variants' weights (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the variants (%(default)s)")
    parser.add_argument("--objects", type=int, default=24, help="held-out objects (%(default)s)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help="(all)")
    args = parser.parse_args(argv)

    if args.runs is None:
        networks = parts(load_checkpoint(args.checkpoint)[0])
    else:
        networks = trained(args.runs, args.data, args.seed, args.samples)
    items = held_out_items(args.data / "held", args.objects)
    scores = score_meshes(items, {name: CONDITIONS[name] for name in args.cases}, networks, args.results)
    first, *others = networks
    print("\n" + "\n\n".join(differences([scores], measure, first, others) for measure in ("chamfer_mm", "f5")))


def trained(runs: Path, data: Path, seed: int, samples: int) -> dict[str, RayGamba]:
    """The variants that have weights after so many samples. Raises BAD_OPTION where none has."""
    plan = Plan(data=data, **json.loads((runs / "plan.json").read_text()))
    found = {}
    for name, variant in VARIANTS.items():
        file = runs / f"seed-{seed}" / f"averaged-{samples:06d}" / f"{slug(name)}.pt"
        if file.exists():
            found[name] = averaged_network(variant.kind, plan.config(name, variant, seed).model, file)
    if not found:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"{runs}: no weights after {samples} samples of seed {seed}")
    return found


def score_meshes(
    items: Sequence[Item], cases: Mapping[str, Condition], networks: Mapping[str, RayGamba], file: Path
) -> Scores:
    """Chamfer distance and F@5mm of each object's mesh by each network, kept in ``file`` case by case; NaN where there
    is no reconstruction."""
    scores: Scores = json.loads(file.read_text()) if file.exists() else {}
    for case, condition in cases.items():
        if set(networks) <= set(scores.get(case, {})):
            continue
        rows = {
            name: [mesh_scores(item, index, condition, network) for index, item in enumerate(items)]
            for name, network in networks.items()
        }
        scores[case] = {
            name: {measure: [row.get(measure, float("nan")) for row in of] for measure in MEASURES}
            for name, of in rows.items()
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(scores).encode())
        found = (f"{name} {np.nanmean(of['chamfer_mm']):.2f} mm" for name, of in scores[case].items())
        print(f"{case}: " + ", ".join(found), flush=True)
    return scores


def mesh_scores(item: Item, index: int, condition: Condition, network: RayGamba) -> dict[str, float]:
    """One object's mesh against the true one; empty where it is refused."""
    support = float(item["support_height"])
    options = held_out_options(prompts=Prompts(support_height=None if np.isnan(support) else support))
    taken, _ = disturbed(item, index, condition)
    try:
        with running(options, network):
            result = reconstruct([as_view(taken, i) for i in range(condition.views)], options)
    except ReconstructionError as error:
        print(f"object {index}: {error.code.name}: {error.message}", flush=True)
        return {}
    errors = shape_errors(surface_points(result.mesh), np.asarray(item["points"], np.float64))
    return {"chamfer_mm": errors["chamfer_mm"], "f5": errors["F@5mm"]}


@contextmanager
def running(options: Options, network: RayGamba) -> Iterator[None]:
    """The method that calls with ``options`` get runs ``network``, and afterwards its own again."""
    method = load_method(options)
    assert isinstance(method, MVGambaMethod)
    own, method.network = method.network, deepcopy(network)
    if method.half:
        halve_weights(method.network)
    try:
        yield
    finally:
        method.network = own


if __name__ == "__main__":
    main()
