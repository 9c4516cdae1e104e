"""Metrics and evaluation runs. Never imported by the node."""
