"""Mend the ROS 2 wheels of the running environment: their CMake files name the builder's Python and NumPy headers.

Safe to run again; prints how many files it changed. Run it after every install of those wheels.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

STALE = {
    re.compile(r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages/numpy/_core/include"): np.get_include(),
    re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+"): sysconfig.get_path("include"),
}


def main() -> int:
    changed = 0
    for path in sorted((Path(sys.prefix) / "share").rglob("*.cmake")):
        text = path.read_text()
        mended = text
        for stale, here in STALE.items():
            mended = stale.sub(here, mended)
        if mended != text:
            path.write_text(mended)
            changed += 1
    print(f"fixed the header paths in {changed} CMake files of the ROS 2 wheels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
