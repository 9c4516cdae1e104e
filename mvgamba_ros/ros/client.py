"""`ros2 run mvgamba_ros reconstruct`, or ``python -m mvgamba_ros.ros.client``: the node from a terminal."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any

import numpy as np
from geometry_msgs.msg import Pose, Vector3
from rclpy.utilities import remove_ros_args

from mvgamba_ros.action import ReconstructObject, ReconstructScene
from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.msg import ObjectPrompts, ReconstructedObject, ReconstructedObjects
from mvgamba_ros.ros.client_terminal import StageLine, metres, seconds, show, whole
from mvgamba_ros.ros.conversions.geometry import box_to_message
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS, stamp_of
from mvgamba_ros.ros.object_summary import line, rows, table, values, view_line
from mvgamba_ros.ros.service_calls import CallError, NodeCalls

DESCRIPTION = """Captures views, reconstructs the object and saves it, by calls of the node `reconstructor`, which must
run: ros2 launch mvgamba_ros reconstruct.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info"""
EXAMPLES = """examples:
  ros2 run mvgamba_ros reconstruct capture 6
      six views: move the arm, press Enter, and so on
  ros2 run mvgamba_ros reconstruct capture 8 --still
      the same while a program moves the arm: a view wherever the camera comes to rest
  ros2 run mvgamba_ros reconstruct object --object-id mug --roi 0.4 -0.1 0 0.6 0.1 0.3 --support-height 0
      the shape of what stands in that box on a table at z = 0
  ros2 run mvgamba_ros reconstruct object --capture 6 --save mug
      all of it: six views, the shape, its files
  ros2 run mvgamba_ros reconstruct scene --segmenter multiview --save table
      every object that the captured views show
  ros2 run mvgamba_ros reconstruct watch --node /left/reconstructor
      a line for each object that this node makes, until Ctrl-C
Where there is no ros2 command, `python -m mvgamba_ros.ros.client` stands for `ros2 run mvgamba_ros reconstruct`.

Exit status: 0 done (also where the quality is LOW, which stands first), 1 refused or failed (one line names the code
and the remedy; or one of several objects failed), 2 wrong usage, 130 after Ctrl-C, which cancels the work."""
FIND_S = 5.0
"""A node that is there is discovered within this time."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    try:
        args = parser.parse_args(remove_ros_args(given))
    except Exception as error:  # of the middleware: ROS arguments, or text that is no UTF-8
        parser.error(f"{type(error).__name__}: {' '.join(str(error).split())}")
    try:
        with NodeCalls(args.node, arguments=given) as node:
            node.wait_for_node(args.find)
            try:
                status = args.run(node, args) or 0
            finally:  # by now all are discovered
                if (count := node.count()) > 1:
                    print(
                        f"reconstruct: {count} nodes are called {node.target}, and any of them may have answered: end "
                        "all but one, or start each in a namespace of its own",
                        file=sys.stderr,
                    )
    except CallError as error:
        code = error.code
        if args.json:
            name = {"error": code.name} if code is not None else {}
            show({"error_code": None if code is None else int(code), **name, "error_msg": str(error)})
        print(f"reconstruct: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads, as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still in its buffer
        return 1
    except KeyboardInterrupt:
        print("reconstruct: interrupted", file=sys.stderr)
        return 130
    return int(status)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--node", metavar="NAME", default="/reconstructor", help="the node, with its namespace (default: %(default)s)"
    )
    shared.add_argument("--json", action="store_true", help="print JSON, for programs; one object a line")
    shared.add_argument(
        "--timeout",
        metavar="S",
        type=seconds,
        default=300.0,
        help="longest wait for an answer, s (default: %(default)g)",
    )
    shared.add_argument(
        "--find", metavar="S", type=seconds, default=FIND_S, help="longest wait for the node, s (default: %(default)g)"
    )
    capturing = argparse.ArgumentParser(add_help=False)
    when = capturing.add_mutually_exclusive_group()
    when.add_argument("--every", metavar="S", type=seconds, help="a view each S seconds, instead of on Enter")
    when.add_argument(
        "--still", action="store_true", help="a view wherever the camera comes to rest, instead of on Enter"
    )

    making = argparse.ArgumentParser(add_help=False)
    making.add_argument("--frame", metavar="NAME", default="", help="frame of the result and of --roi")
    making.add_argument("--support-height", type=metres, metavar="Z", help="height of the plane it stands on, metres")
    making.add_argument("--method", metavar="NAME", default="", help="reconstructor (default: the node's)")
    making.add_argument("--max-faces", type=whole, metavar="N", default=0, help="faces of the mesh at most")
    making.add_argument(
        "--generator", metavar="NAME", default="", help="makes up what no view saw (default: the node's)"
    )
    making.add_argument("--complete", metavar="WHEN", default="", help="when it is called: few, always or off")
    making.add_argument("--generator-seed", type=whole, metavar="N", default=0, help="seed of what it draws")
    making.add_argument("--capture", metavar="N", type=whole, default=0, help="capture so many views first")
    making.add_argument(
        "--save", metavar="FOLDER", nargs="?", const="", help="save it too, below the node's output_dir"
    )

    parser = argparse.ArgumentParser(
        prog="reconstruct",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Any, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[shared, *parents])
        added.set_defaults(run=run)
        return added

    capture = command("capture", _capture, "Capture views.", capturing)
    capture.add_argument(
        "views", metavar="N", nargs="?", type=whole, default=1, help="how many (default: one, at once)"
    )
    shape = command("object", _object, "Reconstruct the object seen in the captured views.", capturing, making)
    shape.add_argument("--object-id", metavar="NAME", default="", help="name that the result carries")
    once: dict[str, Any] = {}
    scene = command("scene", _scene, "Reconstruct several objects seen in the captured views.", capturing, making)
    scene.add_argument("--segmenter", metavar="NAME", default="", help="finds the objects (default: the node's)")
    for added, several in ((shape, once), (scene, {"action": "append", "default": []})):
        default = "several times: several objects; default: all are found" if several else "default: the node's roi_m"
        added.add_argument(
            "--roi",
            nargs=6,
            type=metres,
            metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
            help=f"box that holds the object: lowest and highest corner, metres ({default})",
            **several,
        )
    save = command("save", _save, "Write the last object's files.")
    save.add_argument("folder", metavar="FOLDER", nargs="?", default="", help="(default: named after id and stamp)")
    watch = command("watch", _watch, "Print a line for each object that is published, the last one first.")
    watch.add_argument("--count", metavar="N", type=whole, default=0, help="end after so many (default: never)")
    command("list", _list, "List the captured views.")
    return parser


def _capture(node: NodeCalls, args: argparse.Namespace) -> None:
    _capture_views(node, args, args.views)


def _capture_views(node: NodeCalls, args: argparse.Namespace, count: int) -> None:
    for number in range(1, count + 1):
        if args.every is not None and number > 1:
            node.spin(args.every)
        elif count > 1 and args.every is None and not args.still:
            _wait_for_enter(f"view {number} of {count}: move the camera, wait until it is still, press Enter ")
        elif args.still:
            print(f"view {number} of {count}: as soon as the camera stands at a new place", file=sys.stderr, flush=True)
        answer = node.capture_view(args.timeout if args.still else min(args.timeout, 20.0), until_new=args.still)
        if args.json:
            show({"view": number, "views": answer.view_count, "coverage": answer.coverage})
        else:
            print(f"view {number} of {count}: {view_line(answer)}", flush=True)


def _wait_for_enter(prompt: str) -> None:
    print(prompt, end="", file=sys.stderr, flush=True)
    if not sys.stdin.readline():
        raise CallError("nobody can press Enter here: give --every S or --still")


def _object(node: NodeCalls, args: argparse.Namespace) -> None:
    goal = ReconstructObject.Goal(object_id=args.object_id, **_how(args))
    if args.roi is not None:
        goal.use_roi, (goal.roi_pose, goal.roi_size) = True, _region(args.roi)
    result, took, files = _made(node, args, goal, node.reconstruct)
    if args.json:
        show({"error_code": 0, **values(result.object, result.stages), "files": files})
    else:
        print("\n".join([*table([*rows(result.object, result.stages), ("seconds", f"{took:.1f}")]), *files]))


def _scene(node: NodeCalls, args: argparse.Namespace) -> int:
    goal = ReconstructScene.Goal(segmenter=args.segmenter, **_how(args))
    for roi in args.roi:
        pose, size = _region(roi)
        goal.prompts = [*goal.prompts, ObjectPrompts(use_roi=True, roi_pose=pose, roi_size=size)]
    result, took, files = _made(node, args, goal, node.reconstruct_scene)
    failed = {failure.id: (ErrorCode(failure.error_code), failure.error_msg) for failure in result.failures}
    if args.json:
        reasons = [
            {"id": name, "error_code": int(code), "error": code.name, "error_msg": words}
            for name, (code, words) in failed.items()
        ]
        objects = [values(found) for found in result.objects]
        stages = {stage.name: stage.seconds for stage in result.stages}
        show({"error_code": 0, "objects": objects, "failures": reasons, "seconds": stages, "files": files})
    else:
        lines = [line(found) for found in result.objects]
        lines += [f"FAILED: '{name}' {code.name}: {words}" for name, (code, words) in failed.items()]
        print("\n".join([*lines, f"{took:.1f} s", *files]))
    return int(bool(failed))


def _how(args: argparse.Namespace) -> dict[str, Any]:
    """Fields of both goals."""
    no = ReconstructObject.Goal.NO
    height = {} if args.support_height is None else {"use_support_height": True, "support_height": args.support_height}
    names = "method", "max_faces", "generator", "complete", "generator_seed"
    chosen = {name: getattr(args, name) for name in names}
    parts = dict.fromkeys(("answer_cloud", "answer_mesh", "answer_gaussians"), no)
    return {"target_frame": args.frame, **chosen, **parts, **height}


def _region(roi: list[float]) -> tuple[Pose, Vector3]:
    return box_to_message(axis_parallel_box(np.array(roi[:3]), np.array(roi[3:])))


def _made(node: NodeCalls, args: argparse.Namespace, goal: Any, call: Any) -> tuple[Any, float, list[str]]:
    """The result of ``call`` for ``goal``, its seconds, and the files that were saved."""
    _capture_views(node, args, args.capture)
    progress = StageLine()
    began = time.monotonic()
    try:
        result = call(goal, progress, args.timeout)
    finally:
        progress.close()
    took = time.monotonic() - began
    return result, took, [] if args.save is None else node.save(args.save, args.timeout)


def _save(node: NodeCalls, args: argparse.Namespace) -> None:
    files = node.save(args.folder, args.timeout)
    if args.json:
        show({"error_code": 0, "files": files})
    else:
        print("\n".join(files))


def _watch(node: NodeCalls, args: argparse.Namespace) -> None:
    received: list[ReconstructedObject] = []
    node.listen(ReconstructedObjects, f"{node.target}/objects", lambda message: received.extend(message.objects))
    shown = 0
    while not args.count or shown < args.count:
        node.spin(0.2)
        for found in received:
            if args.json:
                show(values(found))
            else:
                print(line(found), flush=True)
        shown += len(received)
        received.clear()


def _list(node: NodeCalls, args: argparse.Namespace) -> None:
    answer = node.list_views(args.timeout)
    for number, view in enumerate(answer.views):
        p, stamp = view.pose.position, stamp_of(view)
        beside = [name for name, there in (("depth", view.has_depth), ("mask", view.has_mask)) if there]
        if args.json:
            show({"view": number, "stamp": stamp / NANOSECONDS, "position": [p.x, p.y, p.z], "beside": beside})
            continue
        print(
            f"view {number}: camera at ({p.x:.3f}, {p.y:.3f}, {p.z:.3f}) m in {view.header.frame_id} at "
            f"{stamp / NANOSECONDS:.3f} s, {view.width} x {view.height}, sharpness {view.sharpness:.0f}"
            + "".join(f", {name}" for name in beside)
        )
    if not args.json:
        print(f"{len(answer.views)} views cover {100 * answer.coverage:.0f} % of the directions from above")


if __name__ == "__main__":
    sys.exit(main())
