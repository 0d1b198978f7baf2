"""Candidate views of the log with the outcome of each: what ``basket_lstm`` and ``lightgbm`` learn from."""
