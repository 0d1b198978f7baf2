"""The store of histories, items and recommendations: its protocol, in memory, and on Redis."""
