"""Silhouettes of the object in each view: a protocol, a classical default, SAM as an extra."""
