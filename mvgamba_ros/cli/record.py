"""Write a capture as a ROS 2 recording.

CAPTURE is whatever `mvgamba reconstruct` takes: a folder with a transforms.json, or a recording, of which the views
that would be chosen are written. OUT.mcap holds the pictures with camera_info, depth and mask on /captured_views, and
the poses in /tf: for `ros2 bag play`, for Foxglove and RViz, and for `mvgamba reconstruct`, which takes all views in
it. Views of a folder have no time of their own; they are one second apart. OUT.mcap appears whole, compressed without
loss, and a file that is there is not replaced.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mvgamba_ros.cli._flags import add_reader

EXAMPLES = """examples:
  mvgamba record capture -o mug.mcap
      a capture folder becomes a recording; needs pip install 'mvgamba_ros[bags]'
  mvgamba record tour.mcap -o views.mcap --views /wrist/color/image_raw@base_link --frame base_link
      of a long recording only the views that a reconstruction takes
  mvgamba reconstruct mug.mcap -o out
      the same mesh as from the folder

Exit status: 0 done, 1 failed (one line names the cause), 2 wrong usage.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    parser.add_argument(
        "capture", metavar="CAPTURE", help="folder with transforms.json and images, or a rosbag2 recording"
    )
    parser.add_argument("-o", "--out", metavar="OUT.mcap", required=True, help="the recording to write")
    parser.add_argument(
        "--views",
        metavar="LIST",
        default="",
        help="list of views in the folder; of a recording TOPIC, @FRAME or TOPIC@FRAME, as in `mvgamba reconstruct`",
    )
    parser.add_argument(
        "--frame", metavar="NAME", default="world", help="what TF calls the frame of the poses (default: %(default)s)"
    )
    add_reader(parser)


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    from mvgamba_ros.io.capture_readers import read_capture
    from mvgamba_ros.ros.bag_messages import typestore
    from mvgamba_ros.ros.bag_writer import check_frame, check_recording, numbered, write_recording
    from mvgamba_ros.types import view_name

    out = Path(args.out)
    typestore(out)
    check_recording(out)
    check_frame(args.frame)
    views = read_capture(args.capture, args.views, args.reader)
    print(f"views    {len(views)}: " + ", ".join(view_name(view, k) for k, view in enumerate(views)))
    write_recording(out, views, numbered(len(views), args.frame))
    print(f"written  {out} ({out.stat().st_size / 1e6:.1f} MB), poses in '{args.frame}'")
    return 0
