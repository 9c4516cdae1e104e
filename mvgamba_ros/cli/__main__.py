"""``python -m mvgamba_ros.cli`` is ``mvgamba``."""

import sys

from mvgamba_ros.cli import main

sys.exit(main())
