#!/bin/sh
# Build the ROS 2 interfaces of this tree into the active virtual environment: build_interfaces.sh BUILD_DIR
# tf2_msgs comes first: /tf and /tf_static need it and the wheels leave it out.
set -eu
: "${VIRTUAL_ENV:?activate the virtual environment first}"
root=$(cd "$(dirname "$0")/.." && pwd)
export AMENT_PREFIX_PATH="$VIRTUAL_ENV" CMAKE_PREFIX_PATH="$VIRTUAL_ENV" LD_LIBRARY_PATH="$VIRTUAL_ENV/lib"
CMAKE_BUILD_PARALLEL_LEVEL=$("$root/tools/jobs.sh")
export CMAKE_BUILD_PARALLEL_LEVEL
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE

build() { # build NAME SOURCE_DIR BUILD_DIR OPTIONS...
    name=$1 source=$2 build=$3
    shift 3
    cmake -S "$source" -B "$build/$name" -DCMAKE_INSTALL_PREFIX="$VIRTUAL_ENV" -DCMAKE_BUILD_TYPE=Release \
        -DPython3_EXECUTABLE="$VIRTUAL_ENV/bin/python" "$@"
    cmake --build "$build/$name" --target install
}
build tf2_msgs "$root/tools/tf2_msgs" "$1"
build mvgamba_ros "$root" "$1" -DMVGAMBA_INSTALL_PYTHON=OFF -DBUILD_TESTING=OFF

# The generated metadata would stand beside that of `pip install --editable .`, under the same name.
rm -rf "$VIRTUAL_ENV"/lib/python3*/site-packages/mvgamba_ros-*.egg-info
