"""`python -m mvgamba_ros.ros.demo`, which is `make demo`."""

import sys

from mvgamba_ros.ros.demo.main import main

if __name__ == "__main__":
    sys.exit(main())
