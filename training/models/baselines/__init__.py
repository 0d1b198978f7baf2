"""Baselines: how the simple models are fitted."""
