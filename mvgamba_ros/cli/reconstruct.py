"""Reconstruct the object, or several, in a folder of posed images, or in a recording of a robot.

CAPTURE is a folder with a transforms.json (nerfstudio or instant-ngp layout, metres) and its images, or a ROS 2
recording (rosbag2: a folder, .mcap or .db3), from which still, sharp views all around are chosen. OUT holds
mesh.ply, cloud.ply, preview.png, gaussians.ply where the method makes Gaussians, the textured mesh (mesh.glb,
mesh.usdz, and mesh.obj with mesh.mtl, texture.png and texture_seen.png), report.html, a page to look at it with any
browser, and report.json, which lists them. Everything is in metres, in the frame of the capture's poses; with --origin
box the textured mesh is in its own. OUT appears whole: a former result there is replaced once the new one is written,
and a folder that holds anything else is refused.

With --all, or more than one --roi, OUT holds a folder of this kind for each object, object_1 and so on, scene.png (the
views with each object's mask, and the meshes together) and scene.json (what was found, and what failed and why).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvgamba_ros import __version__
from mvgamba_ros.cli._flags import (
    add_config,
    add_depth,
    add_options,
    add_prompts,
    add_reader,
    options_from,
    regions_from,
)
from mvgamba_ros.cli._words import GREEN, RED, YELLOW, Words, add_output
from mvgamba_ros.errors import ErrorCode, ReconstructionError

if TYPE_CHECKING:
    from mvgamba_ros.options import Options
    from mvgamba_ros.reconstruction import Reconstruction
    from mvgamba_ros.types import Box, View

EXAMPLES = """examples:
  mvgamba reconstruct capture -o out
      find the object in the middle of all views and reconstruct it
  mvgamba reconstruct capture -o out --masks
      take the silhouettes that the capture brings (mask_path, or an alpha channel)
  mvgamba reconstruct capture -o out --roi 0.4 -0.1 0.0 0.6 0.1 0.3 --support-height 0.0
      the object is inside this box and stands on a table at z = 0
  mvgamba reconstruct capture -o out --all
      every object in the middle of the views, found by the segmenter multiview unless another is chosen; with a --roi,
      every one in it
  mvgamba reconstruct capture -o out --roi 0.4 -0.1 0.0 0.6 0.1 0.3 --roi 0.4 0.2 0.0 0.5 0.3 0.2
      these two objects
  mvgamba reconstruct capture -o out --views transforms_8.json --max-faces 2000
      another list of views in the same folder, a lighter mesh
  mvgamba reconstruct tour.mcap -o out --views /wrist/color/image_raw@base_link
      a recording with several cameras: this one's pictures, poses in base_link
  mvgamba reconstruct capture -o out --texture 2048 --origin box
      a larger texture where the pictures hold it; the textured mesh around its own middle, as for FoundationPose
  mvgamba config > my.yaml; mvgamba reconstruct capture -o out --config my.yaml --set surface.smoothing_sigma=2.0
      other settings, from an edited file and one by one

  mvgamba reconstruct capture -o out --json | jq .quality
      for a program; -q prints nothing, the exit status and out/report.json tell

Exit status: 0 done (also when the quality is low: see report.json), 1 failed (one line names the cause; of several
objects, that one failed or more: the others are written, scene.json names the causes), 2 wrong usage.
"""
TEXTURE = 1024
"""Side of the texture at most where ``--texture`` is not given, pixels: 0.4 s."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    parser.add_argument(
        "capture",
        metavar="CAPTURE",
        help="folder with transforms.json and images, a rosbag2 recording, or another format: docs/captures.md",
    )
    parser.add_argument("-o", "--out", metavar="OUT", required=True, help="folder for the results; made if missing")
    add_output(parser, "report.json")
    add_task(parser)


def add_task(parser: argparse.ArgumentParser) -> None:
    """All that says how a capture is read and reconstructed."""
    parser.add_argument(
        "--views",
        metavar="LIST",
        default="",
        help="list of views in the folder (default: transforms.json), or a pattern of its pictures' names; of a "
        "recording TOPIC, @FRAME or TOPIC@FRAME: the camera, and the frame of the poses (default: the root of its TF "
        "tree); of a BOP scene the object's number",
    )
    parser.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write report.html, 2 MB, of several objects one each (default: yes)",
    )
    add_reader(parser)
    add_depth(parser)
    add_prompts(parser, "default: found in the middle of all views; several times: several objects")
    parser.add_argument("--all", action="store_true", help="reconstruct every object that is found, not one")
    add_options(parser)
    parser.set_defaults(texture=TEXTURE)
    add_config(parser)


@dataclass(frozen=True)
class Task:
    """How captures are read and reconstructed. ``regions``: of several objects, None: of all that are found; ``page``:
    whether report.html is written; ``depth``: whether that of a capture is used."""

    options: Options
    several: bool
    regions: Sequence[Box] | None
    views: str
    reader: str
    page: bool
    depth: bool


def task_from(args: argparse.Namespace) -> Task:
    """What `add_task` parsed. Raises BAD_OPTION."""
    from mvgamba_ros.options import Options

    several = args.all or len(args.roi) > 1
    if args.all and len(args.roi) > 1:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"--all finds the objects, and --roi is given {len(args.roi)} times: give one or none"
        )
    if args.all and args.segmenter == Options().segmenter and not args.masks:
        from mvgamba_ros.scene_objects import FINDER

        args.segmenter = FINDER
    options = options_from(args, Options, several)
    regions = None if args.all else regions_from(args)
    return Task(options, several, regions, args.views, args.reader, args.report, args.depth)


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    from mvgamba_ros.lean_imports import spare_unused
    from mvgamba_ros.process import collect_rarely, prepare_process, spare_plotting

    collect_rarely()
    if _own_networks_alone(args):
        spare_unused()
    prepare_process()
    spare_plotting()
    status = reconstruct_capture(task_from(args), args.capture, args.out, Words(args))
    if status and args.quiet:
        print(f"mvgamba: not every object was reconstructed: {args.out}/scene.json has the causes", file=sys.stderr)
    return status


def _own_networks_alone(args: argparse.Namespace) -> bool:
    """Whether all that is chosen by name comes with this package, its networks included."""
    from mvgamba_ros.options import OWN_GUESS
    from mvgamba_ros.registry import BUILT_IN

    built_in = args.method in BUILT_IN["methods"] and args.segmenter in BUILT_IN["segmenters"]
    built_in = built_in and args.reader in ("", *BUILT_IN["capture_readers"])
    return built_in and args.segmenter != "sam" and args.generator == OWN_GUESS


def reconstruct_capture(
    task: Task, capture: str | Path, folder: str | Path, words: Words, about: Mapping[str, Any] | None = None
) -> int:
    """Reads ``capture``, reconstructs, writes ``folder``; the exit status. With ``about``, which goes into the report,
    a thumbnail for a gallery is written, too. Raises what reading, reconstructing and writing raise."""
    from mvgamba_ros.io.capture_readers import read_capture
    from mvgamba_ros.io.results import check_results_folder
    from mvgamba_ros.types import view_name

    out = check_results_folder(folder)
    if task.several and task.regions is None:
        from mvgamba_ros.factories import load_finder

        load_finder(task.options)  # refused before many pictures are read
    views = read_capture(capture, task.views, task.reader, task.depth)
    words.line("views", f"{len(views)}: " + ", ".join(view_name(view, k) for k, view in enumerate(views)))
    if task.several:
        return _several(views, task, out, words, about)
    return _one(views, task, Path(capture).absolute().name, out, words, about)


def _one(
    views: Sequence[View], task: Task, title: str, out: Path, words: Words, about: Mapping[str, Any] | None
) -> int:
    from mvgamba_ros.cli._progress import ProgressLine
    from mvgamba_ros.io.atomic_writes import write_file
    from mvgamba_ros.io.results import REPORT, write_results
    from mvgamba_ros.pipeline import reconstruct
    from mvgamba_ros.preview import preview
    from mvgamba_ros.webpage.gallery_html import THUMBNAIL, thumbnail
    from mvgamba_ros.webpage.report_html import poster, report_html

    with closing(ProgressLine(shown=words.progress)) as progress:
        result = reconstruct(views, task.options, progress)

    def add_pages(folder: Path) -> None:
        if task.page:
            write_file(folder / "report.html", report_html(views, result, title))
        if about is not None:
            write_file(folder / THUMBNAIL, thumbnail(poster(views, result)))

    written = write_results(out, result, preview(views, result), about=about, also=add_pages)

    size, center = _size(result), ", ".join(f"{x:.4f}" for x in result.box.T_world_box[:3, 3])
    quality = result.quality
    words.line("depth", f"used of {_depth(result, views)} views")
    words.line("box", f"{size} mm at ({center}) m")
    words.line(
        "mesh", f"{len(result.mesh.faces)} faces, cloud {len(result.cloud.points)} points, method {result.method}"
    )
    words.line(
        "quality",
        f"{'LOW' if quality.low else 'good'}: expected error {quality.expected_error_mm:.1f} mm, "
        f"{quality.coverage:.0%} seen, silhouettes {quality.silhouette_iou:.3f} IoU, "
        f"colour error {quality.color_error:.3f}",
        RED if quality.low else GREEN,
    )
    for note in result.notes:
        words.line("note", note, YELLOW)
    for reason in quality.reasons:
        words.line("LOW", reason, RED)
    words.line("seconds", ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.seconds.items()))
    words.line("wrote", ", ".join(str(path) for path in written))
    words.object({"out": str(out), **json.loads((out / REPORT).read_text(encoding="utf-8"))})
    return 0


def _several(views: Sequence[View], task: Task, out: Path, words: Words, about: Mapping[str, Any] | None) -> int:
    from mvgamba_ros.cli._progress import ProgressLine
    from mvgamba_ros.io.atomic_writes import write_file
    from mvgamba_ros.io.results import SCENE
    from mvgamba_ros.io.scene_results import SceneEntry, write_scene
    from mvgamba_ros.preview import preview
    from mvgamba_ros.scene_objects import reconstruct_scene
    from mvgamba_ros.scene_picture import scene_picture
    from mvgamba_ros.webpage.gallery_html import THUMBNAIL, thumbnail
    from mvgamba_ros.webpage.report_html import report_html

    with closing(ProgressLine(shown=words.progress)) as progress:
        objects = reconstruct_scene(views, task.options, task.regions, progress)
    entries, table = [], [("object", "size, mm", "centre, m", "error, mm", "seen", "depth of", "quality")]
    remarks: list[tuple[str, str, str]] = []
    for number, item in enumerate(objects, start=1):
        name, result = f"object_{number}", item.result
        if result is None:
            assert item.error is not None
            entries.append(SceneEntry(name, item.region, item.error))
            table.append((name, "", "", "", "", "", item.error.code.name))
            remarks.append(("FAILED", f"{name}: {item.error.code.name}: {item.error.message}", RED))
            continue
        seen = [views[k] for k in item.views]
        page = report_html(seen, result, name) if task.page else None
        entries.append(SceneEntry(name, item.region, result, preview(seen, result), page=page))
        center = ", ".join(f"{x:.4f}" for x in result.box.T_world_box[:3, 3])
        quality = result.quality
        measured = f"{quality.expected_error_mm:.1f}", f"{quality.coverage:.0%}", _depth(result, seen)
        table.append((name, _size(result), center, *measured, "LOW" if quality.low else "good"))
        remarks += [("note", f"{name}: {note}", YELLOW) for note in result.notes]
        remarks += [("LOW", f"{name}: {reason}", RED) for reason in quality.reasons]
    picture = scene_picture(views, objects)

    def add_thumbnail(folder: Path) -> None:
        if about is not None:
            write_file(folder / THUMBNAIL, thumbnail(picture))

    known = {**(about or {}), "version": __version__, "views": len(views), **task.options.to_dict()}
    write_scene(out, entries, picture, about=known, also=add_thumbnail)
    words.table(table[0], table[1:])
    for label, text, color in remarks:
        words.line(label, text, color)
    words.line("wrote", f"{out}: scene.json, scene.png, a folder for each object")
    words.object({"out": str(out), **json.loads((out / SCENE).read_text(encoding="utf-8"))})
    return int(any(item.error is not None for item in objects))


def _size(result: Reconstruction) -> str:
    return " x ".join(f"{1e3 * side:.1f}" for side in result.box.size)


def _depth(result: Reconstruction, views: Sequence[View]) -> str:
    """Of how many of ``views`` depth was used."""
    return f"{result.settings['depth_views']} of {len(views)}"
