"""The network as its authors published it, and its mesh: Gaussians, rendered depth, TSDF."""
