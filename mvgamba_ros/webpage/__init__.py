"""A result as one web page that needs no network."""
