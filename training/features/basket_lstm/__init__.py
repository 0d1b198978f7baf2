"""The inputs of ``basket_lstm``, computed in one place for training and serving."""
