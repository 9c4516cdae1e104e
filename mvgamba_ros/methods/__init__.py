"""Reconstructors behind one protocol: the visual hull's own surface, and the network."""

from mvgamba_ros.methods.protocol import Method, Shape

__all__ = ["Method", "Shape"]
