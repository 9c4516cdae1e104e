"""Captures and results in a browser, with viser."""
