"""From Gaussians to what planners use: depth, TSDF, mesh, cloud."""
