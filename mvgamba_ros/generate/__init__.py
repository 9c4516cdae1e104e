"""Shapes of what was not seen: from one photo or from words, by networks that others trained."""
