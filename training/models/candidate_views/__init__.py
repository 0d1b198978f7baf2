"""Candidate views of the log with the outcome of each: the examples of ``basket_lstm`` and ``lightgbm``."""
