"""The two-tower models as they serve. NumPy only."""
