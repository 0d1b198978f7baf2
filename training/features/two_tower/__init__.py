"""Features of the two towers."""
