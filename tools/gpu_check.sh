#!/bin/sh
# Everything that a GPU has to prove, in one command and under eight minutes: tools/gpu_check.sh
# It needs torch, numpy and a card, no network; what takes more packages is left out by name where they are missing.
# Writes table.md, rows.jsonl, log.txt and the state of what was trained to $OUT (build/gpu_check by default). PYTHON picks the interpreter,
# GPU_CHECK_SECONDS the time, and parts can be named: tools/gpu_check.sh kernels paper. docs/gpu.md has more.
set -eu
cd "$(dirname "$0")/.."
OUT=${OUT:-$PWD/build/gpu_check}
mkdir -p "$OUT"
export OUT PYTHONPATH="$PWD:$PWD/test${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
exec "${PYTHON:-python3}" -m tools.gpu_check "$@"
