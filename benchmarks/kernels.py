"""The kernels against what else there is: python -m benchmarks.kernels

Every ratio is of medians of calls made in turn in this run: machines and their load differ, so milliseconds are for
orientation only. Writes docs/kernels_cost.png, the cost of the scan and of attention against the sequence's length.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.kernels_scan import block_table, cost_plot, scan_table
from benchmarks.kernels_views import epipolar_table, homography_table

SCANS = [(1024, 768), (4096, 1536), (16384, 1536)]  # length, width
BLOCKS = [(1024, 192), (1024, 384), (1024, 768), (4096, 192), (4096, 384), (4096, 768), (16384, 384)]
COST_LENGTHS = [1024, 2048, 4096, 8192, 16384, 32768]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest shapes only, no plot, no rasteriser")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", type=Path, default=Path("docs/kernels_cost.png"))
    arguments = parser.parse_args()
    scan_table(SCANS[:1] if arguments.quick else SCANS, arguments.repeats)
    block_table(BLOCKS[:3] if arguments.quick else BLOCKS, arguments.repeats)
    epipolar_table(arguments.repeats)
    homography_table(arguments.repeats)
    if not arguments.quick:
        cost_plot(COST_LENGTHS, arguments.repeats, arguments.plot)
        subprocess.run([sys.executable, "-m", "benchmarks.kernels_rasterize"], check=True)


if __name__ == "__main__":
    main()
