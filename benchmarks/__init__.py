"""Benchmarks: `python -m benchmarks.NAME --help`. They run in a process prepared as the command and the node are."""

from mvgamba_ros.process import prepare_process

prepare_process()  # before any of them imports torch
