"""The whole job on a simulated arm."""
