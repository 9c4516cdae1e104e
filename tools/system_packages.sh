#!/bin/sh
# Install the Debian or Ubuntu packages that the Python wheels and the build need, or name the exact line that does.
set -eu
if [ "$(uname -m)" != x86_64 ]; then
    echo "ROS 2 is to be had as wheels for x86-64 only, and this machine is $(uname -m): install ROS 2 Jazzy or Kilted and" >&2
    echo "build with colcon (README, \"Into your workspace\"), or 'pip install .' for the core without ROS" >&2
    exit 1
fi
packages="cmake g++ make libegl1 libgl1 libgl1-mesa-dri libgomp1 libusb-1.0-0"
if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "not a Debian or Ubuntu system: make sure it has the equivalents of: $packages" >&2
    exit 0
fi
missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -eq 0 ]; then
    echo "installing:$missing"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "these system packages are missing. Run this, then make again:" >&2
    echo "  sudo apt-get install$missing" >&2
    exit 1
fi
