"""Reconstruct from arrays: views made by hand, a hint where the object is, progress, and what to do when it is low.

usage: python examples/02_from_arrays.py

A view is an image (H, W, 3) uint8 RGB, its intrinsics in pixels and the pose of its optical frame (x right, y down, z
forward) in the frame that the answer shall be in, metres. With a robot that pose is base_T_flange @ flange_T_camera.
"""

import numpy as np

from mvgamba_ros import Camera, Options, Prompts, ReconstructionError, View, reconstruct
from mvgamba_ros.warm_up import ball_views


def main() -> None:
    """Prints the stages as they pass, and the box of the object."""
    views = []
    for picture in ball_views():  # in your program: what the camera driver and the robot's kinematics give
        image, T_base_camera = picture.image, picture.T_world_camera
        K = np.array([[300.0, 0.0, 160.0], [0.0, 300.0, 120.0], [0.0, 0.0, 1.0]])
        camera = Camera(K, width=image.shape[1], height=image.shape[0])  # and distortion_model, distortion
        views.append(View(image, camera, T_base_camera))
    prompts = Prompts(points={0: np.array([[160.0, 120.0, 1.0]])})  # in view 0 this pixel is on the object
    try:
        result = reconstruct(views, Options(prompts=prompts, max_faces=1000), lambda s, f: print(f"{f:4.0%} {s}"))
    except ReconstructionError as error:  # the message names the value and the remedy, the code is for programs
        raise SystemExit(f"{error.code.name}: {error.message}") from error
    if result.quality.low:  # do not grasp it: state where it is, take more views, mend the calibration
        print("low:", *result.quality.reasons, sep="\n  ")
    for note in result.notes:
        print("note:", note)
    print("centre", result.box.T_world_box[:3, 3].round(4), "m, sides", result.box.size.round(4), "m")


if __name__ == "__main__":
    main()
