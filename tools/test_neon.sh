#!/bin/sh
# The kernels' tests on aarch64, whose vectors are NEON's, under QEMU's emulation; for machines that are not aarch64.
# As root, or with qemu-user-static, g++-aarch64-linux-gnu and debootstrap installed. All else goes to build/neon (1 GB).
set -eu
cd "$(dirname "$0")/.."
here=$PWD/build/neon
packages="qemu-user-static g++-aarch64-linux-gnu debootstrap"
# shellcheck disable=SC2086
dpkg-query -W $packages >/dev/null 2>&1 || apt-get install -y -qq --no-install-recommends $packages >/dev/null

cmake -S mvgamba_ros/kernels/native -B "$here/kernels" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DMVGAMBA_KERNELS_DIR="$here/lib" >"$here.log"
cmake --build "$here/kernels" --parallel "$(tools/jobs.sh)" >>"$here.log"

# Unpacked, not configured: an interpreter and the libraries that wheels expect are all that is needed.
if [ ! -x "$here/root/usr/bin/python3.11" ]; then
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3,libgomp1,libstdc++6 bookworm "$here/root" >>"$here.log"
    for archive in "$here"/root/var/cache/apt/archives/*.deb; do dpkg -x "$archive" "$here/root"; done
fi
if [ ! -d "$here/wheels" ]; then
    # With their dependencies by name: pip reads those for this machine, and would take CUDA's too.
    python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --python-version 3.11 --no-deps \
        --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
        --constraint requirements.txt --constraint requirements-dev.txt --target "$here/wheels" \
        torch==2.9.1 filelock fsspec jinja2 markupsafe mpmath networkx sympy typing_extensions numpy scipy threadpoolctl \
        opencv-python-headless hypothesis sortedcontainers pytest iniconfig packaging pluggy pygments pytest-timeout
fi
PYTHONPATH=$here/wheels:$PWD MVGAMBA_KERNELS=$here/lib OMP_NUM_THREADS=2 \
    qemu-aarch64-static -L "$here/root" "$here/root/usr/bin/python3.11" -m pytest -q -p no:cacheprovider \
    test/test_kernels_scan.py test/test_kernels_conv_norm.py test/test_kernels_rasterize.py \
    test/test_kernels_rasterize_calls.py \
    test/test_kernels_epipolar.py test/test_kernels_pool.py test/test_kernels_ray_layers.py \
    test/test_kernels_homography.py "$@"
