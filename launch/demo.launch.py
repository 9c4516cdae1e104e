"""The simulated arm and the node, ready to be called: ros2 launch mvgamba_ros demo.launch.py --show-args

``make demo`` does the same and makes the calls as well.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(get_package_share_directory("mvgamba_ros"))

ARGUMENTS = {
    "object": ("cereal", "What stands on the table: bottle, bread, can, cereal, lemon, milk or a mesh file in metres"),
    "view_count": ("6", "Camera poses offered on /simulated_arm/view_poses"),
    "publish_depth": ("false", "The wrist camera gives depth too"),
    "params_file": (str(SHARE / "config" / "reconstruct.yaml"), "Parameter file of the node"),
    "rviz": ("false", "Open RViz on the node's outputs"),
}


def generate_launch_description() -> LaunchDescription:
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=d, description=what) for name, (d, what) in ARGUMENTS.items()]
        + [
            SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", str(SHARE / "config" / "fastdds.xml")),
            Node(
                package="mvgamba_ros",
                executable="simulated_arm",
                parameters=[
                    {
                        "object": value["object"],
                        "view_count": ParameterValue(value["view_count"], value_type=int),
                        "publish_depth": ParameterValue(value["publish_depth"], value_type=bool),
                    }
                ],
                output="screen",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "reconstruct.launch.py")),
                launch_arguments={"params_file": value["params_file"], "rviz": value["rviz"]}.items(),
            ),
        ]
    )
