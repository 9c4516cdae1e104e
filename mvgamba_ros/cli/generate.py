"""Make the whole shape of an object from one picture, or from words: what was seen, completed by a generator.

With something that measures, --depth with --camera, or --camera, --pose and --support-height, the answer is metric, in
the frame of the pose: the generator's shape is aligned to the picture and only fills in what the camera did not see.
Without, a shape has no size: it stays in a cube of two units, or becomes as large as --longest-side tells.
OUT holds mesh.ply, cloud.ply, gaussians.ply where the method makes Gaussians, preview.png, turntable.mp4, views/ (the
picture and the generator's views as a capture, for `mvgamba reconstruct`), subject.png (the picture, cut out) and
report.json. It appears whole.
Generators, their weights and licences: docs/generate.md.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mvgamba_ros.cli._flags import Allowed, positive
from mvgamba_ros.registry import REFUSED_GENERATORS, available

if TYPE_CHECKING:
    from pathlib import Path

    from mvgamba_ros.generate.cutout import Cutout
    from mvgamba_ros.io.posed_photo import PosedPhoto
    from mvgamba_ros.options import Options
    from mvgamba_ros.reconstruction import Reconstruction
    from mvgamba_ros.types import Cancelled, Progress, View

SUBJECT = "subject.png"
EXAMPLES = """examples:
  mvgamba generate --image mug.png --depth depth.png --camera K.json -o out
      one RGB-D picture; the reconstructor's own network guesses what was not seen
  mvgamba generate --image mug.png --depth depth.png --camera K.json --pose T.json --generator imagedream -o out
      the far side by ImageDream, in the frame of T.json (the camera's pose, 4x4)
  mvgamba generate --image mug.png --camera K.json --pose T.json --support-height 0.0 --generator triposr -o out
      a colour picture of what stands on a table at z = 0: its size follows from where it stands
  mvgamba generate --text "a red mug" --generator mvdream --longest-side 0.12 --seed 7 -o out
      from words, 12 cm long

K.json: {"K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]}, pixels, no distortion. T.json: 4 rows of 4 numbers, metres, the
optical frame (x right, y down, z forward) in the world, z up. depth.png: 16 bits, millimetres.

Exit status: 0 done (the quality is low where much was made up: see report.json), 1 failed (one line names the cause), 2
wrong usage, 130 interrupted: Ctrl-C ends it at the next step, a second one at once; nothing is written.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", metavar="FILE", help="picture of one object; best with an alpha channel")
    source.add_argument("--text", metavar="WORDS", default="", help="what to make up, in English")
    parser.add_argument("-o", "--out", metavar="OUT", required=True, help="folder for the results; made if missing")
    group = parser.add_argument_group("what measures")
    group.add_argument("--depth", metavar="FILE", help="depth of the picture, 16-bit PNG, millimetres")
    group.add_argument("--camera", metavar="FILE", help="intrinsics of the picture, JSON")
    group.add_argument("--pose", metavar="FILE", help="pose of the camera, JSON (default: level, at the origin)")
    group.add_argument("--support-height", type=float, metavar="Z", help="height of the plane it stands on, metres")
    group.add_argument("--longest-side", type=float, metavar="M", help="longest side of the object, metres")
    group.add_argument("--metric", action="store_true", help="fail where the size would not be known")
    group = parser.add_argument_group("generator")
    group.add_argument(
        "--generator",
        metavar="NAME",
        default="network",
        choices=Allowed(lambda: ("network", *available("generators")), REFUSED_GENERATORS),
        help="makes up what was not seen; network: the reconstructor alone, with a measured picture: %(choices)s "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--weights",
        metavar="FOLDER",
        default="",
        help="of the generator, or owner/name@commit in the Hugging Face cache (default: the commit that is pinned)",
    )
    group.add_argument("--fetch", action="store_true", help="download the generator's weights that are missing")
    group.add_argument("--seed", type=positive, metavar="N", default=1, help="one seed, one shape (default: 1)")
    group.add_argument("--device", metavar="NAME", default="auto", help="cpu, cuda or cuda:N (default: %(default)s)")
    group.add_argument("--max-faces", type=int, metavar="N", default=5000, help="of the mesh (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    from mvgamba_ros.process import prepare_process

    prepare_process()
    from mvgamba_ros.cli._progress import ProgressLine
    from mvgamba_ros.errors import ErrorCode, ReconstructionError
    from mvgamba_ros.io.atomic_writes import write_file
    from mvgamba_ros.io.image_files import encode_png
    from mvgamba_ros.io.posed_photo import read_posed_photo
    from mvgamba_ros.io.results import check_results_folder, write_results
    from mvgamba_ros.options import Options
    from mvgamba_ros.preview import preview
    from mvgamba_ros.turntable import write_turntable
    from mvgamba_ros.types import Prompts

    out = check_results_folder(args.out)
    photo = None if args.image is None else read_posed_photo(args.image, args.depth, args.camera, args.pose)
    measured = _is_measured(args)
    if args.metric and not measured and args.longest_side is None:
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS,
            "nothing tells the size: give --depth with --camera, or --camera, --pose and --support-height, or "
            "--longest-side; without --metric the shape stays in a cube",
        )
    options = Options(
        segmenter="masks",
        generator=args.generator,
        complete="always",
        generator_weights=args.weights,
        generator_fetch=args.fetch,
        generator_seed=args.seed,
        device=args.device,
        max_faces=args.max_faces,
        prompts=Prompts(support_height=args.support_height if measured else None),
    )
    progress = ProgressLine()
    with cancelled_by_interrupt() as cancelled:
        try:
            views, cutout, result = _made(args, photo, measured, options, progress, cancelled)
        finally:
            progress.close()
        everything = [*views, *result.generated]
        subject = {
            "words": args.text,
            "picture": None if cutout is None else SUBJECT,
            "view": 0 if views else result.settings["completion"]["photo_view"],
            "measured": bool(views),
        }

        def write_more(folder: Path) -> None:
            write_turntable(folder / "turntable.mp4", result.mesh)
            if cutout is not None:
                write_file(folder / SUBJECT, encode_png(cutout.rgba()))

        picture = preview(views or result.generated, result)
        written = write_results(
            out,
            result,
            picture,
            views=everything,
            about={
                "made_by": "mvgamba generate",
                "metric": measured or args.longest_side is not None,
                "subject": subject,
            },
            also=write_more,
        )
    unit = "mm" if measured or args.longest_side is not None else "thousandths of half the cube, no scale"
    print("box      " + " x ".join(f"{1e3 * side:.1f}" for side in result.box.size) + f" {unit}")
    made_up = result.settings.get("completion", {}).get("guessed_share", 1.0 - result.quality.coverage)
    print(f"quality  {'LOW' if result.quality.low else 'good'}: {made_up:.0%} of the surface is made up")
    for note in result.notes:
        print(f"note     {note}")
    for reason in result.quality.reasons:
        print(f"LOW      {reason}")
    print("wrote    " + ", ".join(str(path) for path in written))
    return 0


def _is_measured(args: argparse.Namespace) -> bool:
    """Whether the flags measure the picture; raises BAD_OPTION where they are of no use without others."""
    from mvgamba_ros.errors import ErrorCode, ReconstructionError

    measures = [name for name in ("depth", "support_height") if getattr(args, name) is not None]
    given = [name for name in ("depth", "camera", "pose", "support_height") if getattr(args, name) is not None]

    def refuse(text: str) -> ReconstructionError:
        return ReconstructionError(ErrorCode.BAD_OPTION, text)

    def flags(names: list[str]) -> str:
        return ", ".join("--" + name.replace("_", "-") for name in names)

    if args.image is None and given:
        raise refuse(f"{flags(given)}: of a picture, and --text has none")
    if measures and args.camera is None:
        raise refuse(f"{flags(measures)} needs --camera, the picture's intrinsics")
    if args.support_height is not None and args.pose is None:
        raise refuse("--support-height needs --pose: it is a height in the frame of the pose")
    if measures and args.longest_side is not None:
        raise refuse(f"--longest-side beside {flags(measures)}, which measures it: leave one out")
    return bool(measures)


def _made(
    args: argparse.Namespace,
    photo: PosedPhoto | None,
    measured: bool,
    options: Options,
    progress: Progress,
    cancelled: Cancelled,
) -> tuple[list[View], Cutout | None, Reconstruction]:
    """The posed picture, if it is measured, the object in it, and the result."""
    from mvgamba_ros.completion import prepare_generator
    from mvgamba_ros.generate.generator import Subject
    from mvgamba_ros.generate.matting import cut_out
    from mvgamba_ros.imagined import imagine
    from mvgamba_ros.options import OWN_GUESS
    from mvgamba_ros.pipeline import reconstruct
    from mvgamba_ros.types import View

    if options.generator != OWN_GUESS:
        prepare_generator(options)
    if photo is None:
        return [], None, imagine(options, Subject(prompt=args.text), args.longest_side, progress, cancelled)
    cutout = cut_out(photo.image, device=args.device, what=args.image)
    print(f"object   cut out by {cutout.source}, {cutout.mask.mean():.1%} of the picture")
    if not measured or photo.camera is None:
        return [], cutout, imagine(options, Subject(cutout), args.longest_side, progress, cancelled)
    view = View(cutout.rgb, photo.camera, photo.T_world_camera, cutout.mask, photo.depth, name=args.image)
    return [view], cutout, reconstruct([view], options, progress, cancelled)


@contextmanager
def cancelled_by_interrupt() -> Iterator[Cancelled]:
    """A function that tells whether Ctrl-C was pressed; work that stops by it ends as `KeyboardInterrupt`, and so does
    a second Ctrl-C, at once."""
    from mvgamba_ros.errors import ErrorCode, ReconstructionError

    pressed = False

    def press(signum: int, frame: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    except ReconstructionError as error:
        if error.code is ErrorCode.CANCELLED:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
