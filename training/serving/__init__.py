"""Scorers and their loading from bundles. No TensorFlow on this import path."""
