"""The three item LSTMs: sequences of items, the network, and how it is fitted."""

from training.models.item_lstm.model import FittedItemLstm, ItemLstm

__all__ = ["FittedItemLstm", "ItemLstm"]
