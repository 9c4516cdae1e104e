"""Checks the camera poses that were given against the pictures, and corrects them."""
