"""Reconstruct the object in a folder of posed images.

CAPTURE is a folder with a transforms.json (nerfstudio or instant-ngp layout, metres) and its images. OUT gets
mesh.ply, cloud.ply, report.json, preview.png, and gaussians.ply where the method makes Gaussians. Everything is in
metres, in the frame of the capture's poses.
"""

from __future__ import annotations

import argparse

from mvgamba_ros.options import DEFAULT_METHOD, DEVICES, METHODS, SEGMENTERS

EXAMPLES = """examples:
  mvgamba reconstruct capture -o out
      find the object in the middle of all views and reconstruct it
  mvgamba reconstruct capture -o out --masks
      take the silhouettes that the capture brings (mask_path, or an alpha channel)
  mvgamba reconstruct capture -o out --roi 0.4 -0.1 0.0 0.6 0.1 0.3 --support-height 0.0
      the object is inside this box and stands on a table at z = 0
  mvgamba reconstruct capture -o out --views transforms_8.json --max-faces 2000
      another list of views in the same folder, a lighter mesh

Exit status: 0 done (also when the quality is low: see report.json), 1 failed (one line says why), 2 wrong usage.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("capture", metavar="CAPTURE", help="folder with transforms.json and images")
    parser.add_argument("-o", "--out", metavar="OUT", required=True, help="folder for the results; made if missing")
    parser.add_argument("--views", metavar="FILE", default="", help="list of views (transforms.json)")
    parser.add_argument("--method", choices=METHODS, default=DEFAULT_METHOD, help="reconstructor (%(default)s)")
    parser.add_argument("--checkpoint", metavar="FILE", default="", help="weights for the method (the ones that ship)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where the network runs (%(default)s)")
    parser.add_argument("--segmenter", choices=SEGMENTERS, default="classical", help="finds the object (%(default)s)")
    parser.add_argument("--sam-checkpoint", metavar="FILE", default="", help="segment-anything weights, ViT-B, L or H")
    parser.add_argument("--masks", action="store_true", help="the same as --segmenter masks")
    parser.add_argument(
        "--roi",
        nargs=6,
        type=float,
        metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help="box that holds the object: lowest and highest corner, metres",
    )
    parser.add_argument("--support-height", type=float, metavar="Z", help="height of the plane it stands on, metres")
    parser.add_argument("--max-faces", type=int, metavar="N", default=5000, help="faces of the mesh (%(default)s)")
    parser.add_argument("--convex-hull", action="store_true", help="answer the convex hull of the mesh")
    parser.add_argument(
        "--refine",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="lay the Gaussians on the mesh and fit them to the views: sharper, a little slower (done by default)",
    )


def run(args: argparse.Namespace) -> int:
    from mvgamba_ros.process import prepare_process

    prepare_process()
    import numpy as np

    from mvgamba_ros.cli._progress import ProgressLine
    from mvgamba_ros.geometry.boxes import axis_parallel_box
    from mvgamba_ros.io.capture_readers import read_capture
    from mvgamba_ros.io.results import check_writable, write_results
    from mvgamba_ros.options import Options
    from mvgamba_ros.pipeline import reconstruct
    from mvgamba_ros.preview import preview
    from mvgamba_ros.types import Prompts

    roi = None if args.roi is None else axis_parallel_box(np.array(args.roi[:3]), np.array(args.roi[3:]))
    options = Options(
        method=args.method,
        segmenter="masks" if args.masks else args.segmenter,
        prompts=Prompts(roi=roi, support_height=args.support_height),
        refine=args.refine,
        max_faces=args.max_faces,
        convex_hull=args.convex_hull,
        checkpoint=args.checkpoint,
        device=args.device,
        sam_checkpoint=args.sam_checkpoint,
    )
    out = check_writable(args.out)
    views = read_capture(args.capture, args.views)
    progress = ProgressLine()
    try:
        result = reconstruct(views, options, progress)
    finally:
        progress.close()
    written = write_results(out, result, preview(views, result))

    size = " x ".join(f"{1e3 * side:.1f}" for side in result.box.size)
    center = ", ".join(f"{x:.4f}" for x in result.box.T_world_box[:3, 3])
    quality = result.quality
    print(f"box      {size} mm at ({center}) m")
    print(f"mesh     {len(result.mesh.faces)} faces, cloud {len(result.cloud.points)} points, method {result.method}")
    print(
        f"quality  silhouettes {quality.silhouette_iou:.3f} IoU, colour error {quality.color_error:.3f}, "
        f"coverage {quality.coverage:.0%}"
    )
    for note in result.notes:
        print(f"note     {note}")
    for reason in quality.reasons:
        print(f"LOW      {reason}")
    print("seconds  " + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.seconds.items()))
    print("wrote    " + ", ".join(str(path) for path in written))
    return 0
