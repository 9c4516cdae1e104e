"""The node beside your robot: ros2 launch mvgamba_ros reconstruct.launch.py --show-args

An argument that is not given changes nothing: the parameter file, the site's environment and the node's own defaults
stay as they are.
"""

import importlib.util
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction
from launch.logging import launch_config
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from mvgamba_ros.ros.fastdds import profile_environment
from mvgamba_ros.ros.rviz_config import filled_in, target_frame

SHARE = Path(get_package_share_directory("mvgamba_ros"))

NODE_START_S = 5.0
"""A recording is played after this time, seconds: by then the node listens."""

ARGUMENTS = {
    "image": ("image", "Topic of the wrist camera's images"),
    "camera_info": ("camera_info", "Topic of their camera_info"),
    "depth": ("depth", "Topic of depth images registered to them (with parameter use_depth)"),
    "mask": ("mask", "Topic of masks of the object (with parameter use_mask)"),
    "target_frame": ("", "Frame of the views and of the result (default: as in params_file)"),
    "namespace": ("", "Namespace of the node"),
    "params_file": (str(SHARE / "config" / "reconstruct.yaml"), "Parameter file; start from the default one"),
    "use_sim_time": ("", "true: take the time from /clock (default: as in params_file)"),
    "log_level": ("", "Least severity that the node logs: debug, info, warn, error (default: ROS's own)"),
    "respawn": ("false", "Start the node again, after two seconds, when it ends"),
    "rosbag": ("", "Recording to play beside the node, which then takes the time from it (use_sim_time)"),
    "rviz": ("false", "Open RViz on the node's outputs"),
    "visualization": ("none", "rviz: as rviz:=true; rerun: the outputs in a browser, without RViz"),
    "fastdds_profile": (
        "",
        "Fast DDS profile of node and rosbag (default: config/fastdds.xml, unless the site sets its own)",
    ),
}


def nodes(context: LaunchContext) -> list:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    parameters = {"target_frame": given["target_frame"]} if given["target_frame"] else {}
    clock = {"use_sim_time": True} if given["rosbag"] else {}
    if given["use_sim_time"]:
        clock = {"use_sim_time": is_true("use_sim_time", given)}
    level = ["--log-level", given["log_level"]] if given["log_level"] else []
    # Whoever writes large pictures needs it too: the player as the node.
    profile = profile_environment(given["fastdds_profile"], str(SHARE / "config" / "fastdds.xml"), context.environment)
    started = [
        Node(
            package="mvgamba_ros",
            executable="reconstructor",
            namespace=given["namespace"],
            parameters=[given["params_file"], parameters | clock],
            remappings=[(name, given[name]) for name in ("image", "camera_info", "depth", "mask")]
            + [("image/compressed", given["image"] + "/compressed")],
            ros_arguments=level,
            additional_env=profile,
            respawn=is_true("respawn", given),
            respawn_delay=2.0,
            output="screen",
        )
    ]
    shown = {given["visualization"]} | ({"rviz"} if is_true("rviz", given) else set())
    if not shown <= {"none", "rviz", "rerun"}:
        raise ValueError(f"visualization:={given['visualization']} is none of none, rviz, rerun")
    if "rviz" in shown:
        started.append(rviz(given, clock))
    if "rerun" in shown:
        started.append(rerun(given, clock))
    if given["rosbag"]:
        started.append(player(Path(given["rosbag"]).expanduser(), profile))
    return started


def player(recording: Path, profile: dict[str, str]) -> ExecuteProcess | LogInfo:
    if not recording.exists():
        raise ValueError(f"rosbag:={recording} is not there")
    try:
        get_package_prefix("ros2bag")
    except PackageNotFoundError:
        return LogInfo(
            msg=f"rosbag:={recording}, but ros2 bag is not installed (ros-$ROS_DISTRO-ros2bag); the node runs without "
            "it, on the time of a /clock from elsewhere"
        )
    command = ["ros2", "bag", "play", str(recording), "--clock", "--delay", str(NODE_START_S)]
    return ExecuteProcess(cmd=command, additional_env=profile, output="screen")


def rviz(given: dict[str, str], parameters: dict) -> Node | LogInfo:
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return LogInfo(msg="rviz:=true, but rviz2 is not installed (ros-$ROS_DISTRO-rviz2); the node runs without it")
    frame = given["target_frame"] or target_frame(given["params_file"], given["namespace"])
    topics = {name: given[name] for name in ("image", "camera_info", "depth", "mask")}
    text = (SHARE / "config" / "reconstruct.rviz").read_text(encoding="utf-8")
    config = Path(launch_config.log_dir) / "reconstruct.rviz"  # beside the logs of this launch
    config.write_text(filled_in(text, given["namespace"], topics, frame), encoding="utf-8")
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=given["namespace"],
        arguments=["-d", str(config)],
        parameters=[parameters],
    )


def rerun(given: dict[str, str], parameters: dict) -> Node | LogInfo:
    if importlib.util.find_spec("rerun") is None:
        missing = "visualization:=rerun needs rerun-sdk (pip install 'mvgamba_ros[rerun]'); the node runs without it"
        return LogInfo(msg=missing)
    return Node(
        package="mvgamba_ros",
        executable="view_rerun",
        namespace=given["namespace"],
        remappings=[("image", given["image"])],
        parameters=[parameters],
        output="screen",
    )


def is_true(name: str, given: dict[str, str]) -> bool:
    value = given[name].lower()
    if value not in ("true", "false", "1", "0"):
        raise ValueError(f"{name}:={given[name]} is neither true nor false")
    return value in ("true", "1")


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=d, description=what) for name, (d, what) in ARGUMENTS.items()]
        + [OpaqueFunction(function=nodes)]
    )
