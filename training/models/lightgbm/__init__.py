"""The LightGBM re-ranker, for comparison only."""
