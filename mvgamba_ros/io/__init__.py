"""Files: capture folders, point clouds, meshes, Gaussians."""
