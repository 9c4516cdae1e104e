"""Render a new view, measure against the truth, export to what viewers, planners and engines read.

usage: python examples/06_render_measure_export.py [OUT]
"""

import sys
import tempfile

import cv2
import numpy as np
import trimesh

from mvgamba_ros import Mesh, reconstruct
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.ply import write_cloud, write_gaussians
from mvgamba_ros.io.results import check_writable
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.splats import render_view
from mvgamba_ros.warm_up import CAMERA, CENTER, RADIUS, ball_views

folder = check_writable(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="mvgamba_"))
result = reconstruct(ball_views())

pose = look_at(CENTER + 0.2, CENTER)  # T_world_camera of a camera that took no picture
splats, _ = render_view(result.gaussians, CAMERA, pose)  # (H, W, 3) in [0, 1], on white
mesh = Raycaster(result.mesh).render(CAMERA, pose)  # its color, depth, normals and mask
pictures = [255 * splats, np.where(mesh.mask[..., None], mesh.color, 255)]
cv2.imwrite(str(folder / "new_view.png"), np.concatenate(pictures, axis=1)[..., ::-1].round().astype(np.uint8))

ball = trimesh.creation.icosphere(4, RADIUS).apply_translation(CENTER)
truth = Mesh(ball.vertices, ball.faces.astype(np.int32), np.zeros((len(ball.vertices), 3), np.uint8))
for name, value in shape_errors(surface_points(result.mesh), surface_points(truth)).items():
    print(f"{name:16s} {value:.3f}")
for name in ("mesh.glb", "mesh.obj", "mesh.stl"):  # metres in the frame of the poses, in GLB too
    write_mesh(folder / name, result.mesh)
write_cloud(folder / "cloud.ply", result.cloud)
write_gaussians(folder / "gaussians.ply", result.gaussians)  # the layout of 3D Gaussian Splatting
