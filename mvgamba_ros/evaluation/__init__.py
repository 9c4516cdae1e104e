"""Scores of captures and of new views. Never imported by the node."""
