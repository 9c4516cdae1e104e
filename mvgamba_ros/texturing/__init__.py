"""A texture map of a mesh, baked from the views."""
