"""``label_lstm``: items as labels, each with a vector that is learnt, read by an LSTM that says which comes next."""

from training.models.item_lstm import ItemLstm


class LabelLstm(ItemLstm):
    """The first of the earlier approaches: descriptions as labels, the whole catalogue.

    A label stands for a stock code and not for the text of its description: texts of one item vary, and what is offered
    in the end is the item.
    """

    def __init__(self, name: str = "label_lstm", *, epochs: int = 6, window: int = 100) -> None:
        """Choose how long to train; see ``ItemLstm``."""
        super().__init__(name, epochs=epochs, window=window)
