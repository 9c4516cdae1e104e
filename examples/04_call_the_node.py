"""Call the node from a planner: send posed images with the request, take the object, refuse it when it is low.

usage: python examples/04_call_the_node.py    (of the node that runs, or else of one that it starts)
"""

import subprocess
import sys

import rclpy

from mvgamba_ros.msg import View
from mvgamba_ros.ros.conversions.geometry import camera_to_camera_info, matrix_to_pose
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.srv import Reconstruct
from mvgamba_ros.warm_up import ball_views


def main() -> None:
    """Prints where the object is, and whether a planner may grasp it: a ball at the origin of the node's frame."""
    request = Reconstruct.Request(object_id="ball", use_support_height=True, support_height=0.0)
    for view in ball_views():  # or leave `views` empty and call `/reconstructor/capture_view` at each pose of the arm
        image, info = array_to_image(view.image, "rgb8"), camera_to_camera_info(view.camera)
        request.views.append(View(image=image, camera_info=info, pose=matrix_to_pose(view.T_world_camera)))
    with rclpy.init():
        planner = rclpy.create_node("planner")
        client = planner.create_client(Reconstruct, "/reconstructor/reconstruct")
        node = None if client.wait_for_service(5.0) else subprocess.Popen([sys.executable, "-m", "mvgamba_ros.ros"])
        client.wait_for_service()
        rclpy.spin_until_future_complete(planner, future := client.call_async(request))
        if node is not None:
            node.terminate()
            node.wait()
    if (answer := future.result()).error_code != Reconstruct.Response.SUCCESS:
        raise SystemExit(f"error {answer.error_code}: {answer.error_msg}")
    found, at = answer.object, answer.object.box_pose.position
    print(f"{found.id}: {len(found.mesh.triangles)} triangles around ({at.x:.3f}, {at.y:.3f}, {at.z:.3f}) m")
    print("refuse it: " + "; ".join(found.quality.reasons) if found.quality.low else "good enough to grasp")


main()
