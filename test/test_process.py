"""A prepared process leaves the cores to who works, and keeps its memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from patience import PATIENCE, run_python

from mvgamba_ros.process import SPINS, keep_large_blocks


def test_a_prepared_process_does_not_search_all_it_holds_for_cycles_when_it_ends():
    script = """
import atexit, gc
atexit.register(lambda: print(len(gc.get_objects())))  # what the interpreter's own search would still go through
from mvgamba_ros.process import prepare_process
prepare_process()
"""
    assert int(run_python("-c", script).stdout) < 1000


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer brings an allocator of its own"
)
def test_glibc_takes_the_allocator_call():
    assert keep_large_blocks()


def spins(arguments: list[str], **environment: str) -> str:
    """What OpenMP itself says, once it is loaded, of how long its threads spin."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    ran = subprocess.run(
        [sys.executable, *arguments],
        env={**clean, "OMP_DISPLAY_ENV": "verbose", **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    found = re.findall(r"GOMP_SPINCOUNT = '(\w+)'", ran.stderr)
    if not found and "OPENMP" not in ran.stderr.upper():
        pytest.fail(f"OpenMP was never loaded:\n{ran.stderr}")
    if not found:
        pytest.skip("torch's OpenMP is not GNU's here")
    return found[0]


COMMAND = ["-c", "from mvgamba_ros.cli import main; main(['reconstruct', '/nowhere', '-o', '/nowhere']); import torch"]
"""A refusal loads no torch by itself."""


def test_the_commands_threads_soon_sleep():
    assert spins(COMMAND) == SPINS


def test_what_the_environment_says_of_waiting_goes_first():
    assert spins(COMMAND, GOMP_SPINCOUNT="77") == "77"
    assert spins(COMMAND, OMP_WAIT_POLICY="passive") == "0"


@pytest.mark.ros
def test_the_nodes_threads_soon_sleep():
    pytest.importorskip("rclpy")
    bad_parameter = ["--ros-args", "-p", "min_views:=9", "-p", "max_views:=4"]  # so that it ends by itself
    assert spins(["-m", "mvgamba_ros.ros", *bad_parameter]) == SPINS


def test_a_prepared_process_leaves_the_cores_to_torch():
    script = """
from mvgamba_ros.process import prepare_process
prepare_process()
import torch, threadpoolctl
blas = [i["num_threads"] for i in threadpoolctl.threadpool_info() if i["prefix"] == "libscipy_openblas"]
assert set(blas) == {1}, blas
assert torch.get_num_threads() == len(__import__("os").sched_getaffinity(0))
"""
    clean = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    run_python("-c", script, env=clean)


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer brings an allocator of its own"
)
def test_what_one_thread_freed_another_takes():
    """Eight threads, one after the other, need no more memory than one."""
    script = """
from mvgamba_ros.process import prepare_process
prepare_process()
import resource, threading, numpy as np
def largest():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
together, turn = threading.Barrier(8), threading.Lock()
def work():
    together.wait()  # all alive at once, so that each has what the allocator gives to a thread
    with turn:
        np.ones(5_000_000)
before = largest()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert largest() - before < 60, (before, largest())
"""
    run_python("-c", script)
