"""Print the settings of a reconstruction as commented YAML.

The output is a file for --config of the other commands and for the node's parameter config_file. Lines that are left
out keep their default.
"""

from __future__ import annotations

import argparse

from mvgamba_ros.cli._flags import add_config, config_from

EXAMPLES = """examples:
  mvgamba config > my.yaml
      every setting with its meaning; edit the file, then: mvgamba reconstruct CAPTURE -o OUT --config my.yaml
  mvgamba config --config my.yaml --set surface.smoothing_sigma=2.0
      what a file and a change amount to
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    from mvgamba_ros.config.printing import settings_to_yaml

    print(settings_to_yaml(config_from(args)), end="")
    return 0
