"""Clear a table: every object on it becomes an obstacle of MoveIt's planning scene, in the order to pick them.

usage: python examples/09_clear_a_table.py    (it starts the node too; leave that out where yours runs)
"""

import subprocess
import sys

import numpy as np

from mvgamba_ros.action import ReconstructScene
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.msg import ObjectPrompts, View
from mvgamba_ros.ros.conversions.geometry import box_to_message, camera_to_camera_info, matrix_to_pose
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.service_calls import NodeCalls
from mvgamba_ros.warm_up import ball_views


def main() -> None:
    """Prints what to pick first: a ball on the table, z = 0 of `base_link`, and a place where nothing stands."""
    goal = ReconstructScene.Goal(support_height=0.0, use_support_height=True)  # segmenter="multiview": needs no prompts
    for view in ball_views():  # or leave `views` empty and call `/reconstructor/capture_view` at each pose of the arm
        image, info = array_to_image(view.image, "rgb8"), camera_to_camera_info(view.camera)
        goal.views.append(View(image=image, camera_info=info, pose=matrix_to_pose(view.T_world_camera)))
    for low, high in (([-0.07, -0.07, 0.0], [0.07, 0.07, 0.13]), ([0.08, 0.08, 0.0], [0.12, 0.12, 0.04])):
        pose, size = box_to_message(axis_parallel_box(np.array(low), np.array(high)))
        goal.prompts.append(ObjectPrompts(use_roi=True, roi_pose=pose, roi_size=size))
    with subprocess.Popen([sys.executable, "-m", "mvgamba_ros.ros"]) as process, NodeCalls() as node:
        node.wait_for_node(60.0)
        answer = node.reconstruct_scene(goal, lambda stage, fraction: print(f"{fraction:4.0%} {stage}"), 300.0)
        process.terminate()  # MoveIt keeps the objects: each is in its planning scene, and a frame on TF, by its id
    for failure in answer.failures:
        print(f"{failure.id} failed with {failure.error_code}: {failure.error_msg}")
    for found in sorted(answer.objects, key=lambda found: -(found.box_pose.position.z + found.box_size.z / 2)):
        p, word = found.box_pose.position, "look again" if found.quality.low else "pick it"  # the highest first
        print(f"{found.id} at ({p.x:.3f}, {p.y:.3f}, {p.z:.3f}) m: {word}")


main()
