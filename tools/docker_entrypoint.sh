#!/bin/bash
# In the image of the Dockerfile: run a command with ROS 2 and the workspace sourced.
set -e
. "/opt/ros/$ROS_DISTRO/setup.bash"
. /workspace/install/setup.bash
exec "$@"
