"""The node beside your robot: ros2 launch mvgamba_ros reconstruct.launch.py --show-args"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(get_package_share_directory("mvgamba_ros"))

ARGUMENTS = {
    "image": ("image", "Topic of the wrist camera's images"),
    "camera_info": ("camera_info", "Topic of their camera_info"),
    "depth": ("depth", "Topic of depth images registered to them (with parameter use_depth)"),
    "mask": ("mask", "Topic of masks of the object (with parameter use_mask)"),
    "target_frame": ("base_link", "Frame of the views and of the result"),
    "namespace": ("", "Namespace of the node"),
    "params_file": (str(SHARE / "config" / "reconstruct.yaml"), "Parameter file; start from the default one"),
    "use_sim_time": ("false", "Take the time from /clock"),
    "rviz": ("false", "Open RViz on the node's outputs"),
    "fastdds_profile": (str(SHARE / "config" / "fastdds.xml"), "Fast DDS profile; the camera's side needs the same"),
}


def generate_launch_description() -> LaunchDescription:
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=d, description=what) for name, (d, what) in ARGUMENTS.items()]
        + [
            SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", value["fastdds_profile"]),
            Node(
                package="mvgamba_ros",
                executable="reconstructor",
                namespace=value["namespace"],
                parameters=[
                    value["params_file"],
                    {
                        "target_frame": value["target_frame"],
                        "use_sim_time": ParameterValue(value["use_sim_time"], value_type=bool),
                    },
                ],
                remappings=[(name, value[name]) for name in ("image", "camera_info", "depth", "mask")]
                + [("image/compressed", [value["image"], "/compressed"])],
                output="screen",
            ),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(SHARE / "config" / "reconstruct.rviz")],
                parameters=[{"use_sim_time": ParameterValue(value["use_sim_time"], value_type=bool)}],
                condition=IfCondition(value["rviz"]),
            ),
        ]
    )
