"""`python -m mvgamba_ros.ros`, and what `ros2 run mvgamba_ros reconstructor` starts: the node."""

from __future__ import annotations

import sys

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.packages import check_packages, check_ros
from mvgamba_ros.process import prepare_process


def main() -> int:
    """Prepare the process, then run the node; returns the exit status: 1, with one line, where a package is missing."""
    try:
        check_packages()
        check_ros()
    except ReconstructionError as error:
        print(f"reconstructor: {error.code.name}: {error.message}", file=sys.stderr)
        return 1
    prepare_process()  # before the node's imports bring torch
    from mvgamba_ros.ros import lifecycle

    return lifecycle.main()


if __name__ == "__main__":
    sys.exit(main())
