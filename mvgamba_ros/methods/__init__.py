"""Reconstructors behind one protocol: `hull` needs no weights, `mvgamba` is the network."""
