"""When a customer returns: the hazard network and the baseline from gaps. NumPy only."""
