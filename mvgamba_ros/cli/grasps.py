"""Plan grasps of a result for a parallel gripper, the best first.

OUT is a folder that `mvgamba reconstruct` wrote, or a mesh file in metres. Into the folder, or beside the file as
NAME_grasps.json and NAME_grasps.png, go grasps.json, the grasps with the gripper and all settings, and grasps.png, the
gripper drawn at the best ones. A pose is that of the grasp frame, in the frame of the capture's poses, metres: its
origin lies midway between the pads' centres, z is the approach, y the axis that the fingers close along (the Panda's
panda_hand_tcp). The scores rank them by how firmly they hold though the mesh may be off: docs/grasps.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mvgamba_ros.cli._flags import not_negative, positive
from mvgamba_ros.cli._words import GREEN, RED, YELLOW, Words, add_output
from mvgamba_ros.config.grasp_config import GRIPPERS, GraspConfig, Gripper
from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary

if TYPE_CHECKING:
    from mvgamba_ros.types import Mesh

EXAMPLES = """examples:
  mvgamba grasps out
      for the Panda's hand; the support height is the result's
  mvgamba grasps out --gripper robotiq_2f85 --top 5 --json | jq .grasps[0]
      the best one, for a program
  mvgamba grasps out --gripper my_gripper.yaml
      your own gripper, metres; what the file leaves out is as the Panda's hand has it:

        max_opening: 0.08         # between the pads, open
        finger_length: 0.047      # from the palm to the tip, along z
        finger_width: 0.02        # along x
        finger_thickness: 0.0152  # along y, behind the pad
        pad_length: 0.0185        # of the part at the tip that touches
        palm_width: 0.204         # along y
        palm_depth: 0.063         # along x
        palm_height: 0.066        # along z
        friction: 0.5             # between pad and object
  mvgamba grasps scan.ply --support-height 0.0 --set position_sigma=0.004 --set rotation_sigma=2
      a mesh of your own on a table at z = 0, an arm that is 4 mm and 2 degrees off

Exit status: 0 done, 1 failed (one line names the cause, e.g. that no grasp fits the gripper), 2 wrong usage.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    parser.add_argument("out", metavar="OUT", type=Path, help="a result's folder, or a mesh file, metres")
    parser.add_argument(
        "--gripper",
        metavar="NAME",
        default="panda",
        help=f"{', '.join(GRIPPERS)}, or a YAML file that describes yours, see below (default: %(default)s)",
    )
    parser.add_argument("--top", metavar="N", type=positive, default=20, help="grasps at most (default: %(default)s)")
    parser.add_argument(
        "--support-height",
        type=float,
        metavar="Z",
        help="height of the plane it stands on, metres (default: the result's; of a mesh file none)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=not_negative, default=0, help="of the random numbers (default: %(default)s)"
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a setting of GraspConfig: docs/grasps.md",
    )
    add_output(parser, "grasps.json")


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    from mvgamba_ros.process import prepare_process, spare_plotting

    prepare_process()
    spare_plotting()
    from mvgamba_ros.config.loading import load_config
    from mvgamba_ros.grasps.grasp import doubt, grasps_report
    from mvgamba_ros.grasps.grasp_picture import grasp_picture
    from mvgamba_ros.grasps.planner import plan_grasps
    from mvgamba_ros.io.atomic_writes import write_files
    from mvgamba_ros.io.image_files import encode_png
    from mvgamba_ros.io.results import REPORT, add_to_results, is_listed

    gripper = GRIPPERS.get(args.gripper) or _described(args.gripper)
    config = load_config(GraspConfig, None, args.set)
    mesh, height = _read(args.out)
    support = height if args.support_height is None else args.support_height
    grasps = plan_grasps(mesh, gripper, support, args.top, args.seed, config)
    report = grasps_report(grasps, gripper, config, support, args.seed)
    contents = {
        "grasps.png": encode_png(grasp_picture(mesh, gripper, grasps)),
        "grasps.json": (json.dumps(report, indent=1) + "\n").encode(),
    }
    if args.out.is_dir():
        add_to_results(args.out, contents)
        written = args.out / "grasps.json"
    else:
        contents = {f"{args.out.stem}_{name}": content for name, content in contents.items()}
        written = args.out.with_name(f"{args.out.stem}_grasps.json")
        if is_listed(args.out, args.out.with_name(REPORT)):
            add_to_results(args.out.parent, contents)
        else:
            write_files(args.out.parent, contents, written.name)
    words = Words(args)
    for rank, grasp in enumerate(grasps):
        x, y, z = grasp.T_world_grasp[:3, 3]
        words.line(
            f"grasp {rank}",
            f"score {grasp.score:.2f} (robustness {grasp.robustness:.2f}, firmness {grasp.firmness:.2f}), seen "
            f"{grasp.seen:.2f}, at ({x:.3f}, {y:.3f}, {z:.3f}) m, {1e3 * grasp.width:.1f} mm wide",
            GREEN if grasp.robustness > 0.9 else YELLOW if grasp.robustness > 0.0 else RED,
        )
    if why := doubt(grasps):
        words.line("LOW", why, RED)
    words.line("written", f"{written} and {written.with_suffix('.png').name}")
    words.object(report)
    return 0


def _described(gripper: str) -> Gripper:
    from mvgamba_ros.config.loading import load_config

    if not Path(gripper).is_file():
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"--gripper {gripper}: neither one of {', '.join(GRIPPERS)} nor a YAML file"
        )
    return load_config(Gripper, gripper)


def _read(path: Path) -> tuple[Mesh, float | None]:
    """The mesh of a result or of a file, and the result's support height. Raises BAD_CAPTURE."""
    from mvgamba_ros.io.mesh_files import read_mesh
    from mvgamba_ros.io.results import REPORT, SCENE

    if not path.is_dir():
        return read_mesh(path), None
    if (path / SCENE).is_file():
        raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{path} holds several objects: give the folder of one in it")
    with boundary(
        ErrorCode.BAD_CAPTURE, path / REPORT, "give a folder that `mvgamba reconstruct` wrote, or a mesh file"
    ):
        height = json.loads((path / REPORT).read_text(encoding="utf-8"))["support_height_m"]
        return read_mesh(path / "mesh.ply"), None if height is None else float(height)
