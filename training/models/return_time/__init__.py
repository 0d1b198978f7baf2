"""When a customer returns: fitting the hazard network."""
