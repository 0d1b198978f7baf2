"""``basket_lstm`` as it serves: network, online correction, calibration. NumPy only."""
