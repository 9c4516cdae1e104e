"""Look at a capture, a recording or a result in a browser, and reconstruct again by hand.

PATH is a result's folder, or whatever `mvgamba reconstruct` takes. The page shows cameras with their pictures and
masks, mesh, cloud and Gaussians, what was seen and the expected error; a box that is moved and sized by hand is the
region that the button Reconstruct searches. Needs the package viser: pip install 'mvgamba_ros[viewer]'. Ends by Ctrl-C.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mvgamba_ros.cli._flags import add_config, add_options, add_prompts, add_reader, options_from

EXAMPLES = """examples:
  mvgamba view out
      a result; with --capture CAPTURE its cameras, too, and the button Reconstruct
  mvgamba view capture
      the capture's cameras; draw the region, press Reconstruct
  mvgamba view tour.mcap --views /wrist/color/image_raw@base_link --port 8081
      a recording; the page on another port

Exit status: 0 ended by hand, 1 failed (one line names the cause), 2 wrong usage.
"""
PORT = 8080


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    parser.add_argument("path", metavar="PATH", help="a result's folder, a capture or a recording")
    parser.add_argument("--capture", metavar="CAPTURE", help="the capture of a result that has no views in it")
    parser.add_argument("--views", metavar="LIST", default="", help="as for `mvgamba reconstruct`")
    parser.add_argument(
        "--host", metavar="NAME", default="127.0.0.1", help="who may open the page; 0.0.0.0: anyone (%(default)s)"
    )
    parser.add_argument("--port", metavar="N", type=int, default=PORT, help="of the page (%(default)s)")
    add_reader(parser)
    add_prompts(parser, "default: none, until one is drawn")
    add_options(parser)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    from mvgamba_ros.process import prepare_process, spare_plotting

    prepare_process()
    spare_plotting()
    from mvgamba_ros.io.capture_readers import read_capture
    from mvgamba_ros.options import Options
    from mvgamba_ros.types import View
    from mvgamba_ros.viewer.read_shape import is_result, read_shape
    from mvgamba_ros.viewer.shown_scene import Shape
    from mvgamba_ros.viewer.view_page import ViewPage, start_server

    options = options_from(args, Options)
    views: list[View] = []
    shape = Shape()
    if is_result(Path(args.path)):
        shape, views = read_shape(Path(args.path))
        if args.capture:
            views = list(read_capture(args.capture, args.views, args.reader))
    else:
        views = list(read_capture(args.path, args.views, args.reader))
    server = start_server(args.host, args.port)
    try:
        ViewPage(server, views, shape, options)
        print(f"page     http://{server.get_host()}:{server.get_port()}  (Ctrl-C ends)", flush=True)
        server.sleep_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()
    return 0
