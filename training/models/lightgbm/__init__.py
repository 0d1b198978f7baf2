"""The LightGBM ranker, for comparison only."""
