"""The simulated arm and the node, ready to be called: ros2 launch mvgamba_ros demo.launch.py --show-args

``make demo`` does the same and makes the calls as well.
"""

import importlib.util
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mvgamba_ros.ros.fastdds import profile_environment

SHARE = Path(get_package_share_directory("mvgamba_ros"))

ARGUMENTS = {
    "object": ("cereal", "What stands on the table: bottle, bread, can, cereal, lemon, milk or a mesh file in metres"),
    "view_count": ("6", "Camera poses offered on ~/view_poses of the arm"),
    "publish_depth": ("false", "The wrist camera gives depth too"),
    "namespace": ("", "Namespace of both nodes"),
    "params_file": (str(SHARE / "config" / "reconstruct.yaml"), "Parameter file of the reconstructor"),
    "log_level": ("", "Least severity that both log: debug, info, warn, error (default: ROS's own)"),
    "respawn": ("false", "Start the reconstructor again, after two seconds, when it ends"),
    "rviz": ("false", "Open RViz on the outputs"),
    "visualization": ("none", "rviz: as rviz:=true; rerun: the outputs in a browser, without RViz"),
    "fastdds_profile": ("", "Fast DDS profile of both (default: config/fastdds.xml, unless the site sets its own)"),
}
PASSED_ON = ("namespace", "params_file", "log_level", "respawn", "rviz", "visualization", "fastdds_profile")


def arm(context: LaunchContext) -> list:
    if importlib.util.find_spec("mujoco") is None:
        missing = (
            "no simulated arm: it needs MuJoCo (pip install 'mvgamba_ros[sim]'); the reconstructor runs without it"
        )
        return [LogInfo(msg=missing)]
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    level, profile = (value[name].perform(context) for name in ("log_level", "fastdds_profile"))
    return [
        Node(
            package="mvgamba_ros",
            executable="simulated_arm",
            namespace=value["namespace"],
            parameters=[
                {
                    "object": ParameterValue(value["object"], value_type=str),
                    "view_count": ParameterValue(value["view_count"], value_type=int),
                    "publish_depth": ParameterValue(value["publish_depth"], value_type=bool),
                }
            ],
            ros_arguments=["--log-level", level] if level else [],
            additional_env=profile_environment(profile, str(SHARE / "config" / "fastdds.xml"), context.environment),
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=d, description=what) for name, (d, what) in ARGUMENTS.items()]
        + [
            OpaqueFunction(function=arm),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "reconstruct.launch.py")),
                launch_arguments=[(name, LaunchConfiguration(name)) for name in PASSED_ON],
            ),
        ]
    )
