"""Many captures at once: which there are, which results still stand, a table of all."""
