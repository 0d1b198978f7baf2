"""Serving of ``basket_lstm``: network, online correction, calibration. NumPy only."""
