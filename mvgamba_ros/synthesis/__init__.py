"""Meshes with appearance to training views."""
