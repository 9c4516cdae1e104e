"""The `mvgamba` command."""
