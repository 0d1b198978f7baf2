"""The flagship: a candidate-view LSTM. Importing this package imports TensorFlow."""

from training.models.basket_lstm.model import BasketLstm, FittedBasketLstm

__all__ = ["BasketLstm", "FittedBasketLstm"]
