"""Faults of the views that a node holds and loads: what is no capture, calls that cross, and a file that is cut off."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults import Report
from benchmarks.faults_of_streams import name_of, rendered_folder


def views(report: Report, folder: Path) -> None:
    """`~/load_views`, `~/remove_view` and `~/clear_views`, with the views of spool_dir as they must be after each."""
    import numpy as np
    from ros_world import World
    from std_srvs.srv import Trigger

    from mvgamba_ros.srv import ListViews, LoadViews, RemoveView

    capture, spool = rendered_folder(folder, 4), folder / "spool"
    os.mkfifo(folder / "pipe.mcap")
    (folder / "cut.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(1000))
    (folder / "outside").symlink_to("/etc")
    with World(folder) as world:
        node = world.start_node(spool_dir=spool, output_dir=folder)
        world.wait_for_log("node", "warmed up")
        process = psutil.Process(node.pid)

        def begin(path: str, keep: bool = False) -> Any:
            return world.begin(LoadViews, "/reconstructor/load_views", LoadViews.Request(path=path, keep=keep))

        def listed() -> list[tuple[float, ...]]:
            found = world.call(ListViews, "/reconstructor/list_views").views
            return [tuple(np.round([v.pose.position.x, v.pose.position.y, v.pose.position.z], 6)) for v in found]

        def written() -> list[tuple[float, ...]]:
            return [tuple(np.load(file)["T_world_camera"][:3, 3].round(6)) for file in sorted(spool.glob("*.npz"))]

        assert world.finish(begin(capture.name)).loaded == 4
        for kind, path in (
            ("a pipe", "pipe.mcap"),
            ("a recording that was cut off", "cut.mcap"),
            ("a link out of output_dir", "outside"),
            ("a path of 10 MB", "x/" * 5_000_000),
            ("a name of 300 characters", "x" * 300),
        ):
            with report.case(f"~/load_views of {kind}", "BAD_CAPTURE, the views kept") as case:
                answer = world.finish(begin(path))
                case.did = f"{name_of(answer)}, {answer.view_count} views"
                assert name_of(answer) == "BAD_CAPTURE" and answer.view_count == 4, answer.error_msg
        with report.case("300 refused ~/load_views", "memory stays") as case:
            for path in ("nowhere", "x" * 100_000) * 10:
                world.finish(begin(path))
            before = process.memory_info().rss
            for path in ("nowhere", "x" * 100_000, "pipe.mcap") * 100:
                world.finish(begin(path))
            grown = (process.memory_info().rss - before) / 1e6
            case.did = f"{grown:.0f} MB more"
            assert grown < 0.05 * before / 1e6
        with report.case("two ~/load_views at once", "one BUSY, the other's views on disk too") as case:
            answers = [world.finish(call) for call in (begin(capture.name), begin(capture.name))]
            case.did = ", ".join(map(name_of, answers))
            assert sorted(map(name_of, answers)) == ["BUSY", "SUCCESS"] and listed() == written()
        with report.case("~/remove_view and ~/clear_views while views load", "list and disk agree") as case:
            for remove in (True, False):
                loading = begin(capture.name)
                while not loading.done():
                    if remove:
                        world.call(RemoveView, "/reconstructor/remove_view", RemoveView.Request(index=1))
                    else:
                        world.call(Trigger, "/reconstructor/clear_views")
                world.finish(loading)
                case.did += f"{len(listed())} listed, {len(written())} on disk; "
                assert listed() == written()
        with report.case("kill -TERM while views load", "ended, no cut file") as case:
            begin(capture.name)
            world.spin(0.05)
            node.send_signal(signal.SIGTERM)
            case.did = f"status {node.wait(5)}, {len(written())} whole files"
            assert node.returncode == 0
