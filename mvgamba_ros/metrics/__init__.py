"""How far pictures and shapes are from the truth."""
