#!/bin/sh
# Install the CPU build of torch into the active environment: from the indexes pip is set up with, else from PyTorch's
# own CPU index. Where neither has it, the default build is installed: it works too, and is several gigabytes larger.
# Each with the hashes in locks/. A CPU build for a Python whose hash is not there is installed by its name, and says so.
# What torch needs besides comes with locks/environment.txt.
set -eu
version=2.13.0
locks=$(cd "$(dirname "$0")/../locks" && pwd)
pip="python -m pip install --quiet --disable-pip-version-check --no-deps"
elsewhere="--retries 0 --timeout 20 --extra-index-url https://download.pytorch.org/whl/cpu"
python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if grep -q "python_version == '$python'" "$locks/torch-cpu.txt"; then
    wanted="--require-hashes -r $locks/torch-cpu.txt"
else
    echo "no hash of torch $version+cpu for Python $python in locks/torch-cpu.txt: a CPU build is installed by its name"
    wanted="torch==$version+cpu"
fi
# shellcheck disable=SC2086
$pip $wanted 2>/dev/null || $pip $wanted $elsewhere 2>/dev/null || {
    echo "no CPU build of torch $version to be had, with the hash in locks/: installing the default build (several GB)"
    $pip --require-hashes -r "$locks/torch-default.txt"
}
