"""Many calls in a row to one node over DDS, of mixed size: python -m benchmarks.soak --count 1000

Each turn is a reconstruction (3 to 12 views, 160 x 120 to 640 x 480, hull or network, with masks or without), two
requests that are refused, a capture that finds no image, and now and then a save. After each: the node's memory,
descriptors, threads, the shared memory it maps, the seconds of the reconstruction. Writes soak.csv and soak.png into
--out.

Twenty turns repeat, and what grows after them is a leak. Ends with status 1 where one of these is more than 5 % above
the most of the first twenty, or an answer was not the one expected.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import processor

sys.path.insert(0, str(Path(__file__).parents[1] / "test"))

SETTLED = 20
"""Turns after which the node has met every count of views with every kind."""
COUNTS = (3, 6, 12, 4, 8)
KINDS = (
    (320, 240, "mvgamba", False),
    (160, 120, "hull", True),
    (640, 480, "mvgamba", True),
    (320, 240, "hull", True),
)
"""Width and height, method, with masks."""
GAUGES = ("memory_mb", "descriptors", "threads", "shared_mb")
Row = dict[str, float]


def gauges(process: psutil.Process) -> Row:
    """Of the node's process at this moment."""
    shared = [part for part in process.memory_maps() if part.path.startswith("/dev/shm/")]
    return {
        "memory_mb": process.memory_info().rss / 1e6,
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "shared_mb": sum(part.size for part in shared) / 1e6,
    }


@cache
def views(count: int, width: int, height: int, masks: bool) -> list[Any]:
    """As a request carries them."""
    import numpy as np
    import rendered

    from mvgamba_ros.msg import View
    from mvgamba_ros.ros.conversions.geometry import camera_to_camera_info, matrix_to_pose
    from mvgamba_ros.ros.conversions.images import array_to_image

    made = []
    for T in rendered.orbit(count):
        view = rendered.render(T, width, height)
        message = View(image=array_to_image(view.image, "rgb8"), camera_info=camera_to_camera_info(view.camera))
        message.pose = matrix_to_pose(T)
        if masks:
            message.mask = array_to_image(np.asarray(view.mask, np.uint8) * 255, "mono8")
        made.append(message)
    return made


def turn(world: Any, number: int, out: Path) -> tuple[Row, list[str]]:
    """One turn's seconds, and each answer that is not the one expected."""
    from mvgamba_ros.errors import ErrorCode

    wrong = []

    def expect(what: str, answer: Any, code: int) -> None:
        if answer.error_code != code:
            wrong.append(f"turn {number}: {what}: {answer.error_code} {answer.error_msg}")

    width, height, method, masks = KINDS[number % len(KINDS)]
    carried = views(COUNTS[number % len(COUNTS)], width, height, masks)
    began = time.monotonic()
    expect("reconstruct", world.reconstruct(views=carried, method=method), 0)
    seconds = time.monotonic() - began
    expect("too many", world.reconstruct(views=carried[:1] * 17), ErrorCode.TOO_MANY_VIEWS)
    expect("no method", world.reconstruct(views=carried, method="none"), ErrorCode.BAD_OPTION)
    expect("capture", world.capture(), ErrorCode.NO_IMAGE)
    if number % 10 == 0:
        expect("save", world.save(str(out / f"saved{number // 10 % 3}")), 0)
    return {"seconds": seconds}, wrong


def soak(count: int, out: Path, saved: Path) -> tuple[list[Row], list[str]]:
    from ros_world import World

    rows: list[Row] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as logs, World(Path(logs)) as world:
        node = world.start_node(tf_timeout_s=0.0, max_faces=2000, output_dir=saved)
        world.wait_for_log("node", "warmed up")
        process = psutil.Process(node.pid)
        for number in range(count):
            row, bad = turn(world, number, saved)
            rows.append({"turn": number, **row, **gauges(process)})
            wrong += bad
            for line in bad:
                print(line, flush=True)
            if number % 20 == 19:
                shown = ", ".join(f"{name} {value:.1f}" for name, value in rows[-1].items())
                print(shown, flush=True)
                write(rows, out)
        if "Traceback" in world.log("node"):
            wrong.append("the node's log holds a traceback:\n" + world.log("node"))
    write(rows, out)
    return rows, wrong


def write(rows: list[Row], out: Path) -> None:
    with (out / "soak.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def plot(rows: list[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = (*GAUGES, "seconds")
    figure, axes = pyplot.subplots(len(names), sharex=True, figsize=(7, 8), layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        axis.plot([row["turn"] for row in rows], [row[name] for row in rows], "." if name == "seconds" else "-", ms=3)
        axis.set_ylabel(name.replace("_", " "))
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("turn")
    figure.savefig(path, dpi=110)


def growth(rows: list[Row]) -> tuple[list[str], list[str]]:
    """A table of each gauge, and what grew."""
    table = [f"| | most of the first {SETTLED} turns | most of the others | last |", "|---|---|---|---|"]
    grown = []
    for name in GAUGES:
        values = [row[name] for row in rows]
        early, late = max(values[:SETTLED]), max(values[SETTLED:], default=0.0)
        table.append(f"| {name.replace('_', ' ')} | {early:.0f} | {late:.0f} | {values[-1]:.0f} |")
        if late > 1.05 * early:
            grown.append(f"{name} grew from {early:.0f} to {late:.0f}")
    seconds = [row["seconds"] for row in rows]
    halves = [statistics.median(part) for part in (seconds[: len(rows) // 2], seconds[len(rows) // 2 :])]
    table.append(
        f"\nMedian seconds of a reconstruction: {halves[0]:.2f} in the first half, {halves[1]:.2f} in the second"
    )
    return table, grown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="turns, at least 60")
    parser.add_argument("--out", type=Path, default=Path("build"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as saved:
        rows, wrong = soak(max(60, arguments.count), arguments.out, Path(saved))
    plot(rows, arguments.out / "soak.png")
    table, grown = growth(rows)
    print(f"\n{len(rows)} turns in {time.monotonic() - began:.0f} s on {psutil.cpu_count()} x {processor()}\n")
    print("\n".join(table + wrong + grown))
    return 1 if wrong or grown else 0


if __name__ == "__main__":
    sys.exit(main())
