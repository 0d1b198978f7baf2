"""Serving of the item LSTMs. NumPy only."""
