"""Features of the return-time network."""
