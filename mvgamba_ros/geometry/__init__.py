"""SE(3), cameras, rays, the visual hull and the unit cube: numpy and torch, no files, no ROS."""
