"""Serving of the two-tower models. NumPy only."""
