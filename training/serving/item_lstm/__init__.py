"""The item LSTMs as they serve. NumPy only."""
