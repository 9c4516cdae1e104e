"""What a camera sees of a mesh, of Gaussians, of an object in its crop."""
