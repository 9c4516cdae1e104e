#!/bin/sh
# Print how many compilers may run at once: CMAKE_BUILD_PARALLEL_LEVEL where it is set, else one a core and at most one
# a GB of memory that is free, for a compiler of the kernels or of the interfaces takes up to about 1 GB.
set -eu
if [ -n "${CMAKE_BUILD_PARALLEL_LEVEL:-}" ]; then
    echo "$CMAKE_BUILD_PARALLEL_LEVEL"
    exit 0
fi
jobs=$(env -u OMP_NUM_THREADS nproc)
free=$(awk '$1 == "MemAvailable:" {print int($2 / 1000000)}' "${1:-/proc/meminfo}" 2>/dev/null || true)
[ "${free:-$jobs}" -ge "$jobs" ] || jobs=$free
[ "$jobs" -ge 1 ] || jobs=1
echo "$jobs"
