"""Take the blocks of a trained network apart, without training: what each part is worth where it is used.

usage: python -m benchmarks.blocks RESULTS.json --data DATA [--captures DIR ...] [--checkpoint FILE] [--objects 64]

The same weights run with all blocks; with all blocks over each view alone, states begun anew with every view; without
the blocks whose scan goes across the views; with the first half of the blocks; with none. Objects are held-out ones,
rendered into DATA where it lacks them, with all their views, with fewer, on level rings, and with one view of four at
fault (its pixels, its mask, its pose), and the captures. Prints the mean of each case and, below it, what each part's
absence costs: the difference object by object, with the interval in which its mean lies in 95 of 100 draws of objects.
Scores are of the network alone: depths along the rays, and the Gaussians' centres. What a fault adds to the errors
without one is printed as well: context that makes up for a fault leaves less of it. Blocks were learned together, and
miss a part that is taken out: its absence costs more than the part brings, so only where it costs nothing is the answer
plain.

Cases that RESULTS.json has are not run again.

examples:
  python -m benchmarks.blocks runs/blocks.json --data data/144
  python -m benchmarks.blocks runs/blocks.json --data data/144 --captures captures level_rings --measure f5
      captures with scans as well, and F@5mm instead of depth errors
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.context_conditions import CONDITIONS
from benchmarks.context_data import capture_items, held_out_items, held_out_recipes, render
from benchmarks.context_networks import ViewsApart
from benchmarks.context_scores import CLEAN, FAULTS, MEASURES, Case, Scores, differences, network_forward, score_cases
from mvgamba_ros.kernels.autocast import has_bfloat16
from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint
from mvgamba_ros.model.raygamba import RayGamba

ALL = "all blocks"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", metavar="RESULTS", type=Path, help="JSON file of the scores, object by object")
    parser.add_argument("--data", type=Path, required=True, help="folder of the held-out objects; rendered if missing")
    parser.add_argument("--captures", type=Path, nargs="*", default=[], metavar="DIR", help="folders of captures")
    parser.add_argument("--checkpoint", type=Path, default=SHIPPED, help="the weights (those in the package)")
    parser.add_argument("--objects", type=int, default=64, help="held-out objects to score (%(default)s)")
    parser.add_argument("--rendered", type=int, default=64, help="objects in each rendered folder (%(default)s)")
    parser.add_argument("--pixels", type=int, default=144, help="side of the rendered pictures (%(default)s)")
    parser.add_argument("--measure", choices=MEASURES, default="depth_mm", help="what is printed (%(default)s)")
    args = parser.parse_args(argv)

    render(args.data, held_out_recipes(args.pixels, args.rendered))
    network = load_checkpoint(args.checkpoint)[0]
    half = has_bfloat16()
    networks = {name: network_forward(part, half) for name, part in parts(network).items()}
    cases = held_out_cases(args.data, args.objects) + capture_cases(args.captures)
    scores = score_cases(cases, networks, network.config, args.results)
    print(f"\n{table(scores, args.measure)}")


def parts(network: RayGamba) -> dict[str, RayGamba]:
    """The network whole and in parts, by name, all with its weights."""
    orders = network.config.orders
    every = range(len(orders))
    return {
        ALL: network,
        "views apart": with_blocks(network, every, ViewsApart),
        "none across views": with_blocks(network, [i for i in every if not orders[i].startswith("across")]),
        "first half": with_blocks(network, every[: len(orders) // 2]),
        "none": with_blocks(network, []),
    }


def with_blocks(network: RayGamba, kept: Sequence[int], kind: type[RayGamba] = RayGamba) -> RayGamba:
    """A network of ``kind`` with the same weights and of the blocks those whose index is ``kept``, in that order."""
    config = replace(network.config, orders=tuple(network.config.orders[i] for i in kept))
    part = kind(config)
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("blocks.")}
    for place, index in enumerate(kept):
        block = network.blocks[index].state_dict()
        state |= {f"blocks.{place}.{name}": value for name, value in block.items()}
    part.load_state_dict(state)
    return part.eval()


def held_out_cases(data: Path, objects: int) -> list[Case]:
    """Every condition of the held-out objects, and those without texture and on level rings with four views."""
    held = held_out_items(data / "held", objects)
    cases = [Case(name, held, condition) for name, condition in CONDITIONS.items()]
    for folder, name in (("plain", "no texture"), ("rings", "level rings")):
        cases.append(Case(name, held_out_items(data / folder, objects), CONDITIONS["4 views"]))
    return cases


def capture_cases(folders: Sequence[Path]) -> list[Case]:
    """Of each folder of captures four views, of all but those of four views also fewer, and one view of four at
    fault."""
    cases = []
    for folder in folders:
        items = capture_items(folder)
        wanted = ["4 views", "2 views", "1 view", "one view's pixels", "one view's mask", "one view's pose"]
        cases += [Case(f"{folder.name}: {name}", items, CONDITIONS[name]) for name in wanted]
    return cases


def table(scores: Scores, measure: str) -> str:
    """Markdown: the mean of `ALL`, and the paired difference of each part from it with its interval; then the same of
    what each fault adds to the errors without one."""
    others = [name for name in next(iter(scores.values())) if name != ALL]
    costs = differences([scores], measure, ALL, others, CLEAN, FAULTS)
    return f"{differences([scores], measure, ALL, others)}\n\nWhat a fault adds:\n\n{costs}"


if __name__ == "__main__":
    main()
