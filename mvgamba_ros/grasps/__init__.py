"""Grasps of a mesh for a parallel gripper: where two fingers hold it, though it may be off by what is expected."""
