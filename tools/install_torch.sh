#!/bin/sh
# Install the CPU build of torch into the active environment: from the indexes pip is set up with, else from PyTorch's
# own CPU index. Where neither has it, the default build is installed: it works too, and is several gigabytes larger.
set -eu
version=2.13.0
pip="python -m pip install --quiet --disable-pip-version-check"
$pip "torch==$version+cpu" 2>/dev/null ||
    $pip "torch==$version+cpu" --retries 0 --timeout 20 --extra-index-url https://download.pytorch.org/whl/cpu 2>/dev/null ||
    { echo "no CPU build of torch $version to be had: installing the default build (several GB)" && $pip "torch==$version"; }
