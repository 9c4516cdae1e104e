"""3D Gaussians laid on a mesh and fitted to the views."""
