"""The baselines as they serve: formulas, EASE, nearest neighbours. NumPy only."""
