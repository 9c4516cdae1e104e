"""`python -m mvgamba_ros.ros`, and what `ros2 run mvgamba_ros reconstructor` starts: the node."""

from __future__ import annotations

import sys

from mvgamba_ros.process import prepare_process


def main() -> int:
    """Prepare the process, then run the node; returns the exit status."""
    prepare_process()  # before the node's imports bring torch
    from mvgamba_ros.ros import lifecycle

    return lifecycle.main()


if __name__ == "__main__":
    sys.exit(main())
