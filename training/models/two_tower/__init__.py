"""What the hybrid model is trained with: examples, encoding of the inputs, towers in Keras, losses, fitting."""
