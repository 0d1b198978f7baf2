"""How models answer in the stream: scorers, and their loading from bundles. No TensorFlow on this import path."""
