"""Training of the two-tower models: examples, encoding of the inputs, towers in Keras, losses, fitting."""
