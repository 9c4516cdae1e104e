# The node on ROS 2: docker build -t mvgamba_ros .
# Another distribution: docker build --build-arg ROS_DISTRO=kilted -t mvgamba_ros:kilted .
# Run it in the robot's network:  docker run --rm --network host --ipc host mvgamba_ros \
#     ros2 launch mvgamba_ros reconstruct.launch.py image:=/wrist/color/image_raw camera_info:=/wrist/color/camera_info
# (--ipc host: Fast DDS passes large pictures through shared memory.) docs/install.md has more.
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# What rosdep has keys for comes from Debian's packages, the three of pip's keys and the rest from pip, below.
WORKDIR /workspace
COPY package.xml src/mvgamba_ros/package.xml
RUN apt-get update \
    && rosdep update --rosdistro "$ROS_DISTRO" \
    && rosdep install --from-paths src --ignore-src -y \
        --skip-keys "python3-torch python3-open3d-pip python3-trimesh-pip" \
    && apt-get install -y --no-install-recommends python3-venv python3-dev libgl1 libegl1 libgomp1 libusb-1.0-0 \
    && rm -rf /var/lib/apt/lists/*

# An environment over ROS's Python. torch's CPU build is 200 MB, the default one several GB; for a GPU, take that one:
# docker build --build-arg TORCH_INDEX=https://pypi.org/simple --build-arg TORCH=torch==2.13.0 . (docs/gpu.md). Triton
# compiles a launcher at its first call: python3-dev and the compiler of ros-base are for it.
COPY mvgamba_ros/__init__.py mvgamba_ros/errors.py mvgamba_ros/packages.py /tmp/needs/mvgamba_ros/
ENV VIRTUAL_ENV=/opt/mvgamba PATH=/opt/mvgamba/bin:$PATH
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG TORCH=torch==2.13.0+cpu
RUN python3 -m venv --system-site-packages "$VIRTUAL_ENV" \
    && pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" "$TORCH" \
    && PYTHONPATH=/tmp/needs python3 -m mvgamba_ros.packages > /tmp/needs/requirements.txt \
    && python3 -c 'import numpy; print("numpy==" + numpy.__version__)' > /tmp/needs/constraints.txt \
    && pip install --no-cache-dir --constraint /tmp/needs/constraints.txt --requirement /tmp/needs/requirements.txt \
    && rm -r /tmp/needs

COPY . src/mvgamba_ros
RUN . "/opt/ros/$ROS_DISTRO/setup.bash" \
    && MAKEFLAGS="-j$(src/mvgamba_ros/tools/jobs.sh)" colcon build --packages-select mvgamba_ros \
        --cmake-args -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
    && rm -rf build log src/mvgamba_ros/test

# Not root; its results and logs go below its home.
RUN useradd --create-home robot
USER robot
# on a GPU, where the container toolkit is asked for by a runtime and not by --gpus
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV FASTDDS_DEFAULT_PROFILES_FILE=/workspace/install/mvgamba_ros/share/mvgamba_ros/config/fastdds.xml
COPY tools/docker_entrypoint.sh /
ENTRYPOINT ["/docker_entrypoint.sh"]
CMD ["ros2", "launch", "mvgamba_ros", "reconstruct.launch.py"]
