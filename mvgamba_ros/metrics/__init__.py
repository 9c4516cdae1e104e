"""Errors of pictures and shapes against the truth."""
