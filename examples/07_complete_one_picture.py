"""One picture with depth becomes a whole object: what was not seen is made up, and the answer tells how much.

usage: python examples/07_complete_one_picture.py [GENERATOR [WEIGHTS]]

Without a generator the network that ships guesses the far side by itself. docs/generate.md lists generators and how to
get their weights, e.g. triposr; the shape that one makes is aligned to the picture and only fills in what it hides.
"""

import sys

import numpy as np
import trimesh

from mvgamba_ros import Camera, Mesh, Options, Prompts, View, reconstruct
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.rendering.mesh_raycaster import Raycaster

can = trimesh.creation.cylinder(0.04, 0.12).apply_translation([0.5, 0.0, 0.06])  # on a table at z = 0
colors = np.full((len(can.vertices), 3), [200, 60, 40], np.uint8)
caster = Raycaster(Mesh(can.vertices, can.faces.astype(np.int32), colors))

# in your program: what an RGB-D camera and the robot's kinematics give
camera = Camera(np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]]), 640, 480)
T = look_at(np.array([0.1, 0.1, 0.35]), np.array([0.5, 0.0, 0.06]))
seen = caster.render(camera, T)
eye, directions = rays(camera, T)
table = eye[2] / np.maximum(-directions[..., 2], 1e-6) * (directions @ T[:3, 2])
depth = np.where(seen.mask, seen.depth, np.minimum(table, 5.0)).astype(np.float32)
view = View(np.where(seen.mask[..., None], seen.color, 235).astype(np.uint8), camera, T, seen.mask, depth)

generator, weights = (*sys.argv[1:3], *("network", "")[len(sys.argv[1:3]) :])
options = Options(segmenter="masks", generator=generator, generator_weights=weights, prompts=Prompts(support_height=0))
result = reconstruct([view], options)
print("sides", (1e3 * result.box.size).round(1), "mm; the can is 80 80 120")
print(f"guessed {1 - result.quality.coverage:.0%} of the surface;", "low" if result.quality.low else "good")
