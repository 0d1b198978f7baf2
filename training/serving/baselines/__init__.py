"""Serving of the baselines: formulas, EASE, nearest neighbours. NumPy only."""
