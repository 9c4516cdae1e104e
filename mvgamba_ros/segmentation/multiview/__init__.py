"""The learned segmenter: one network that sees all views of a region at once."""
