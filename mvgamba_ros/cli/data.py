"""Render training data, draw a contact sheet of it, or export a capture to another tool.

`mvgamba data render OUT` fills the folder OUT with shards of views: colour, silhouette, front and back depth, poses
and surface points of procedural objects, or of meshes you have. `mvgamba data scenes OUT` renders what the segmenter's
objectness network learns from, `mvgamba data tabletop OUT` whole tabletops with every object's pixels. Each may be
stopped and started again; a training run can read the shards that are there. `mvgamba data orbit MESHES -o OUT` renders
captures from a paper's cameras, which `mvgamba eval` reads. `mvgamba data sheet FOLDER` draws a
picture of what a folder of any kind holds. `mvgamba data export CAPTURE` writes a capture
of any format that is read as one that COLMAP or nerfstudio reads.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from mvgamba_ros.cli._flags import add_reader, not_negative, positive
from mvgamba_ros.cli._progress import ProgressLine
from mvgamba_ros.registry import available

if TYPE_CHECKING:
    from mvgamba_ros.types import U8

EXAMPLES = """examples:
  mvgamba data render data/train --count 20000 --seed 1 --size 144 --workers 8
      procedural objects, the same for the same seed
  mvgamba data render data/mine --source procedural=0.7,pybullet=0.1,~/objaverse=0.2 --count 50000 --workers 16
      a mixture of object sources
  mvgamba data render data/scans --source ~/meshes --count 500 --views 24
      each mesh of a folder, in turn
  mvgamba data tabletop data/tables --count 4000 --workers 8
      tables with one to eight objects
  mvgamba data orbit ~/gso --preset mvgamba -o rings
      each mesh of a folder before MVGamba's cameras, with left-out views and the truth; then: mvgamba eval rings
  mvgamba data orbit ~/objaverse --preset zero123pp --light lit --count 50 -o lit --workers 8
      under a light that casts shadows, from the cameras of Zero123++
  mvgamba data orbit sweethome3d-test -o test-set
      a public test set: half of the models of Debian's sweethome3d-furniture, at their true sizes
  mvgamba data sheet data/train -o sheet.png
      a contact sheet of the first objects; --depth adds their thickness
  mvgamba data export mug.mcap --to nerfstudio -o mug
      of a recording the views that a reconstruction takes, as transforms.json and images
  mvgamba data export phone --scale 0.37 -o phone-metres
      a COLMAP model, which has no unit, in metres: 0.37 m are one of its units

`mvgamba train RECIPE` renders what its recipe names by itself.
"""
SEED = "one seed, one set of data (%(default)s)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    render = commands.add_parser("render", help="render shards of training views")
    render.add_argument("out", metavar="OUT", type=Path, help="folder for the shards; made if missing")
    render.add_argument(
        "--source",
        default="procedural",
        help=f"{', '.join(available('object_sources'))}, a folder of meshes, or several with shares (%(default)s)",
    )
    render.add_argument("--count", type=positive, default=12_000, help="objects (%(default)s)")
    render.add_argument("--seed", type=not_negative, default=1, help=SEED)
    render.add_argument("--per-shard", type=positive, default=128, help="objects in a shard (%(default)s)")
    render.add_argument("--views", type=positive, default=12, help="views of an object (%(default)s)")
    render.add_argument("--size", type=positive, default=96, help="side of a view in pixels (%(default)s)")
    render.add_argument("--workers", type=positive, default=1, help="processes, one core each (%(default)s)")
    scenes = commands.add_parser("scenes", help="render scenes for the objectness network")
    scenes.add_argument("out", metavar="OUT", type=Path, help="folder for the shards; made if missing")
    scenes.add_argument("--count", type=positive, default=7_000, help="scenes (%(default)s)")
    scenes.add_argument("--seed", type=not_negative, default=1, help=SEED)
    scenes.add_argument("--workers", type=positive, default=1, help="processes, one core each (%(default)s)")
    tabletop = commands.add_parser("tabletop", help="render tabletops with several objects, for an instance segmenter")
    tabletop.add_argument("out", metavar="OUT", type=Path, help="folder for the shards; made if missing")
    tabletop.add_argument("--source", default="", help="as of render (our families, thin and everyday objects)")
    tabletop.add_argument("--count", type=positive, default=4_000, help="scenes, up to whole shards (%(default)s)")
    tabletop.add_argument("--seed", type=not_negative, default=1, help=SEED)
    tabletop.add_argument("--workers", type=positive, default=1, help="processes, one core each (%(default)s)")
    orbit = commands.add_parser("orbit", help="render captures from a paper's cameras")
    orbit.add_argument("meshes", metavar="MESHES", help="folder of meshes, or another source as of render")
    orbit.add_argument("-o", "--out", metavar="OUT", type=Path, required=True, help="folder for them; made if missing")
    orbit.add_argument("--preset", choices=["mvgamba", "lgm", "zero123pp"], default="mvgamba", help="(%(default)s)")
    orbit.add_argument(
        "--light", choices=["unlit", "lit"], default="unlit", help="lit: a random light with shadows (%(default)s)"
    )
    orbit.add_argument("--size", type=not_negative, default=0, help="side of a view in pixels (the preset's)")
    orbit.add_argument("--up", choices=["z", "y"], default="z", help="upright axis of OBJ, PLY, STL, OFF (%(default)s)")
    orbit.add_argument("--first", type=not_negative, default=0, help="index of the first object (%(default)s)")
    orbit.add_argument("--count", type=positive, help="objects at most (all)")
    orbit.add_argument("--seed", type=not_negative, default=1, help=SEED)
    orbit.add_argument("--workers", type=positive, default=1, help="processes, one core each (%(default)s)")
    sheet = commands.add_parser("sheet", help="draw a contact sheet of a folder of shards")
    sheet.add_argument("folder", metavar="FOLDER", type=Path, help="written by render, scenes or tabletop")
    sheet.add_argument("-o", "--out", metavar="FILE", type=Path, required=True, help="picture, .png or .jpg")
    sheet.add_argument("--objects", type=positive, default=32, help="objects, or scenes, to draw (%(default)s)")
    sheet.add_argument("--first", type=not_negative, default=0, help="index of the first of them (%(default)s)")
    sheet.add_argument("--views", type=positive, default=4, help="most views of each (%(default)s)")
    sheet.add_argument("--depth", action="store_true", help="thickness (back less front depth) beside the views")
    export = commands.add_parser("export", help="write a capture for another tool")
    export.add_argument("capture", metavar="CAPTURE", help="what `mvgamba reconstruct` takes")
    export.add_argument("-o", "--out", metavar="OUT", type=Path, required=True, help="folder, missing or empty")
    export.add_argument("--to", choices=["nerfstudio", "colmap"], default="nerfstudio", help="format (%(default)s)")
    export.add_argument("--views", metavar="LIST", default="", help="as of `mvgamba reconstruct`")
    export.add_argument("--scale", metavar="METRES", type=float, default=1.0, help="metres of one unit (%(default)s)")
    add_reader(export)


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    commands = {
        "render": _render,
        "scenes": _scenes,
        "tabletop": _tabletop,
        "orbit": _orbit,
        "sheet": _sheet,
        "export": _export,
    }
    return commands[args.what](args)


def _render(args: argparse.Namespace) -> int:
    from mvgamba_ros.synthesis.pose_sampling import CameraRig
    from mvgamba_ros.synthesis.shards import DataRecipe, write_shards
    from mvgamba_ros.synthesis.sources import open_source

    rig = CameraRig(views=args.views, inputs=min(args.views, CameraRig.inputs), size=args.size)
    recipe = DataRecipe(args.source, args.seed, args.count, args.per_shard, rig=rig)
    source = open_source(args.source, args.seed, args.count)
    with closing(ProgressLine()) as bar:
        write_shards(args.out, source, recipe, args.workers, bar.log)
    return 0


def _scenes(args: argparse.Namespace) -> int:
    from mvgamba_ros.training.objectness_scenes import SceneRecipe, write_scenes

    recipe = SceneRecipe(args.seed, args.count)
    with closing(ProgressLine()) as bar:
        write_scenes(args.out, recipe, args.workers, bar.log)
    return 0


def _tabletop(args: argparse.Namespace) -> int:
    from mvgamba_ros.synthesis.tabletop_rig import TabletopRecipe, TabletopRig
    from mvgamba_ros.synthesis.tabletop_shards import write_tabletop

    recipe = TabletopRecipe(args.seed, args.count, rig=TabletopRig(source=args.source))
    with closing(ProgressLine()) as bar:
        write_tabletop(args.out, recipe, args.workers, bar.log)
    return 0


def _orbit(args: argparse.Namespace) -> int:
    from mvgamba_ros.synthesis.orbit_captures import CaptureRecipe, write_orbit_captures
    from mvgamba_ros.synthesis.orbit_render import RingRig
    from mvgamba_ros.synthesis.sources import open_source

    rig = RingRig(args.preset, args.size, lit=float(args.light == "lit"), turned=False)
    recipe = CaptureRecipe(args.meshes, rig, args.up, args.seed)
    source = open_source(args.meshes, args.seed, args.count or 1)
    with closing(ProgressLine()) as bar:
        left_out = write_orbit_captures(args.out, source, recipe, args.first, args.count, args.workers, bar.log)
    for name, why in left_out.items():
        print(f"left out {name}: {why}")
    print(f"sheet    {args.out / 'sheet.png'}")
    return 0


def _sheet(args: argparse.Namespace) -> int:
    import cv2

    from mvgamba_ros.errors import ErrorCode, ReconstructionError
    from mvgamba_ros.io.atomic_writes import write_file
    from mvgamba_ros.io.results import check_writable

    if args.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ReconstructionError(ErrorCode.CANNOT_WRITE, f"{args.out}: give a file that ends in .png or .jpg")
    check_writable(args.out.parent)
    picture = _contact_sheet(args)
    _, content = cv2.imencode(args.out.suffix.lower(), picture[..., ::-1])
    write_file(args.out, content.tobytes())
    print(f"{args.out}: {picture.shape[1]} x {picture.shape[0]} pixels")
    return 0


def _contact_sheet(args: argparse.Namespace) -> U8:
    from mvgamba_ros.synthesis.tabletop_shards import TabletopScenes, holds_tabletop

    if holds_tabletop(args.folder):
        from mvgamba_ros.synthesis.tabletop_sheet import tabletop_sheet

        scenes = TabletopScenes(args.folder)
        _check_first(args, len(scenes), "scenes")
        return tabletop_sheet(scenes, args.first, args.objects, args.views)
    from mvgamba_ros.synthesis.shards import Shards
    from mvgamba_ros.synthesis.sheet import contact_sheet
    from mvgamba_ros.training.objectness_scenes import holds_scenes, scene_sheet

    if holds_scenes(args.folder):
        return scene_sheet(args.folder, args.objects)
    shards = Shards(args.folder)
    _check_first(args, len(shards), "objects")
    return contact_sheet(shards, args.first, args.objects, args.views, args.depth)


def _check_first(args: argparse.Namespace, count: int, what: str) -> None:
    from mvgamba_ros.errors import ErrorCode, ReconstructionError

    if args.first >= count:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"--first {args.first}: {args.folder} holds {what} 0 to {count - 1}"
        )


def _export(args: argparse.Namespace) -> int:
    from mvgamba_ros.io.capture_export import check_empty, export_views
    from mvgamba_ros.io.capture_readers import read_capture

    check_empty(args.out)
    views = read_capture(args.capture, args.views, args.reader)
    listed = export_views(args.out, views, args.to, args.scale)
    print(f"views    {len(views)}\nwritten  {listed}")
    without = sum(view.depth is not None for view in views) if args.to == "colmap" else 0
    if without:
        print(f"note     the depth of {without} views is left out: COLMAP reads none")
    return 0
