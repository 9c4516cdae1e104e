"""A simulated arm and wrist camera for the demo and the end-to-end tests."""
