"""Measurements that the research log in ``docs/research`` refers to."""
