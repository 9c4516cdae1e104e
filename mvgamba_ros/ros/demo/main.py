"""The whole job on a simulated arm: `make demo`, or ``python -m mvgamba_ros.ros.demo --help``.

Two nodes run as processes of their own and talk DDS, as on a robot: `simulated_arm` and `reconstructor`. This one
drives the arm to its view poses, captures each view, requests the object and compares the answer with the object that
the simulation holds. Everything it starts is stopped again, however it ends.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import Vector3

from mvgamba_ros.action import ReconstructObject
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.options import Options
from mvgamba_ros.registry import available
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose, pose_to_matrix
from mvgamba_ros.ros.conversions.shapes import mesh_from_message
from mvgamba_ros.ros.demo.arm_calls import ArmCalls
from mvgamba_ros.ros.demo.processes import check_alive, interrupt, running, use_own_network
from mvgamba_ros.ros.object_summary import rows, table, view_line
from mvgamba_ros.ros.service_calls import CallError
from mvgamba_ros.sim.truth import object_errors
from mvgamba_ros.types import Box, Mesh

START_S, MOVE_S, CAPTURE_S, RECONSTRUCT_S = 120.0, 90.0, 20.0, 300.0
"""Seconds after which a stage has failed."""
PATIENCE = {"max_image_age_s": 5.0, "tf_timeout_s": 5.0}
"""The simulated camera renders in software: on a busy machine its images arrive late. Their stamps are right."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 where a stage failed, or 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    output = Path(options.output).expanduser().absolute()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        output.mkdir(parents=True, exist_ok=True)
        use_own_network()
        with ExitStack() as stack:
            run(options, output, stack)
    except KeyboardInterrupt:
        print("\ninterrupted; both nodes are stopped", file=sys.stderr)
        return 130
    except (CallError, OSError) as error:
        print(f"\ndemo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mvgamba_ros.ros.demo",
        description="A simulated Franka Panda views an object on a table from several sides; the reconstructor node "
        "answers its cloud and mesh; both are compared with the true object.",
        epilog="examples: --object bottle --views 8      --object ~/scans/drill.glb --method hull",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--object", default="cereal", help="bottle, bread, can, cereal, lemon or milk, or a mesh file in metres, z up"
    )
    parser.add_argument("--views", type=int, default=6, choices=range(3, 9), help="how many sides it is viewed from")
    parser.add_argument("--method", default=Options.method, choices=available("methods"), help="the reconstructor")
    parser.add_argument("--depth", action="store_true", help="the camera gives depth too, and the node uses it")
    parser.add_argument(
        "-o", "--output", default="demo_output", help="folder for the logs and object/: cloud, mesh, report, picture"
    )
    return parser


def run(options: argparse.Namespace, output: Path, stack: ExitStack) -> None:
    """All stages; what has to be stopped is left to ``stack``. Raises CallError."""
    began = time.monotonic()
    processes = [
        stack.enter_context(
            running(
                "simulated_arm",
                ["mvgamba_ros.ros.demo.arm_node"],
                {"object": options.object, "view_count": options.views, "publish_depth": options.depth},
                output,
            )
        ),
        stack.enter_context(
            running(
                "reconstructor",
                ["mvgamba_ros.ros"],
                {"method": options.method, "use_depth": options.depth, "output_dir": str(output), **PATIENCE},
                output,
            )
        ),
    ]
    client = stack.enter_context(ArmCalls(check=lambda: check_alive(processes)))
    print(f"starting the arm and the node (logs in {output})", flush=True)
    poses, truth = client.wait_for_arm(START_S)
    client.wait_for_node(START_S)
    seconds = {"start": time.monotonic() - began}

    began = time.monotonic()
    drive_and_capture(client, poses)
    seconds["capture"] = time.monotonic() - began

    print("reconstructing", flush=True)
    began = time.monotonic()
    answer = client.reconstruct(goal_for(truth, object_id="demo"), lambda stage, fraction: None, RECONSTRUCT_S)
    seconds["reconstruct"] = time.monotonic() - began
    files = client.save("object", RECONSTRUCT_S)
    print("\n".join(["", *_table(answer, truth, seconds), "", *files]))


def drive_and_capture(client: ArmCalls, poses: Sequence[Any]) -> None:
    """A view from each of the camera poses. On a busy machine the newest picture may still be of the place before, and
    is refused as a duplicate: then the next one is waited for. Raises CallError."""
    for index, pose in enumerate(poses):
        client.move_camera(pose, MOVE_S)
        answer = client.capture_view(CAPTURE_S, until_new=True)
        print(f"view {index + 1} of {len(poses)}: {view_line(answer)}", flush=True)


def goal_for(truth: Mesh, **fields: Any) -> Any:
    """A request for the object, about as a detector would give it: the region of interest is 40 % larger, and stands on
    the table, z = 0, as the object does."""
    box = scaled_box(truth.vertices.min(axis=0), truth.vertices.max(axis=0))
    x, y, _ = box.T_world_box[:3, 3]
    goal = ReconstructObject.Goal(target_frame="base_link", use_roi=True, use_support_height=True, **fields)
    goal.roi_pose = matrix_to_pose(rigid(np.eye(3), np.array([x, y, box.size[2] / 2.0])))
    goal.roi_size = Vector3(**dict(zip("xyz", box.size.tolist(), strict=True)))
    return goal


def _table(answer: Any, truth: Mesh, seconds: dict[str, float]) -> list[str]:
    """What came out, and how far it is from the truth."""
    found = answer.object
    size = found.box_size
    box = Box(pose_to_matrix(found.box_pose), np.array([size.x, size.y, size.z]))
    difference = object_errors(mesh_from_message(found.mesh, found.mesh_vertex_colors), box, truth)
    compared = (
        f"chamfer {difference.chamfer_mm:.2f} mm, F@5mm {difference.f_score:.3f}, box off by "
        f"{1e3 * difference.center_error:.1f} mm in place, {1e3 * difference.size_error:.1f} mm in size"
    )
    spent = ", ".join(f"{name} {s:.1f}" for name, s in seconds.items())
    return table([*rows(found, answer.stages), ("against the truth", compared), ("seconds", spent)])


if __name__ == "__main__":
    sys.exit(main())
