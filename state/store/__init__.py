"""Where histories, items and recommendations are kept: the protocol, in memory, in Redis."""
