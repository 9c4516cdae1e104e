"""Pictures of a canonical mesh, as a generator that paints views would give them."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.generate.alignment_config import AlignmentConfig
from mvgamba_ros.generate.canonical_cameras import AZIMUTHS, RADIUS, orbit_pose, square_camera
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import Mesh, View


def pictures_of(mesh: Mesh, config: AlignmentConfig = AlignmentConfig()) -> list[View]:
    """A canonical mesh on white, with masks, from the sides that the canonical cameras are on, but from so far that all
    of the canonical cube shows."""
    caster, camera = Raycaster(mesh), square_camera(config.guess_side)
    views = []
    for azimuth in AZIMUTHS:
        T = orbit_pose(azimuth, RADIUS * np.sqrt(3.0))
        seen = caster.render(camera, T)
        image = np.where(seen.mask[..., None], seen.color, 255).astype(np.uint8)
        views.append(View(image, camera, T, mask=seen.mask))
    return views
