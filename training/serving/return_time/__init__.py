"""Return time: the hazard network and the baseline from gaps. NumPy only."""
