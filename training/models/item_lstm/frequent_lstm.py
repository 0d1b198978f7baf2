"""``frequent_lstm``: like ``label_lstm``, over frequently bought items only."""

from training.models.item_lstm import ItemLstm

ITEMS = 500


class FrequentLstm(ItemLstm):
    """An item LSTM that neither reads nor offers items that are seldom bought."""

    def __init__(self, name: str = "frequent_lstm", *, items: int = ITEMS, epochs: int = 8, window: int = 100) -> None:
        """Choose how many items it knows, and how long to train; see ``ItemLstm``."""
        super().__init__(name, epochs=epochs, items=items, window=window)
