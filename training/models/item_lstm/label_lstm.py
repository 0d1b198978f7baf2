"""``label_lstm``: items as labels, each with a trained vector, read by an LSTM that predicts the next one."""

from training.models.item_lstm import ItemLstm


class LabelLstm(ItemLstm):
    """Items as labels, the whole catalogue.

    A label stands for a stock code and not for the text of its description: texts of one item vary, and what is offered
    is the item.
    """

    def __init__(self, name: str = "label_lstm", *, epochs: int = 6, window: int = 100) -> None:
        """Choose how long to train; see ``ItemLstm``."""
        super().__init__(name, epochs=epochs, window=window)
