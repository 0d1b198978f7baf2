"""Features of ``basket_lstm``."""
