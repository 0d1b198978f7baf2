"""The domain as plain values and pure functions: histories, items, attributes, recommendations."""
