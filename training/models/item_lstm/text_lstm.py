"""``text_lstm``: items are read as the text vectors of their descriptions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from state.events.invoice import Invoice
from state.settings import load_settings
from training.features.text import TextEncoder
from training.models.item_lstm import ItemLstm
from training.models.text_encoders import descriptions_before, make_encoder
from training.serving.item_lstm.network import Floats


class TextLstm(ItemLstm):
    """An item LSTM over text vectors.

    It reads text vectors, which are not trained. It scores items by vectors that start as the text vectors and are
    trained: by the text alone the variants of a product (five colours of a mug) are hardly different, and top-1 on the
    next item is less than half. An item that is newer than the training is read and offered by its text vector.
    """

    def __init__(
        self,
        name: str = "text_lstm",
        *,
        encoder: str | None = None,
        cache: Path | None = None,
        epochs: int = 6,
        window: int = 100,
    ) -> None:
        """Choose the encoder.

        Args:
            name: What the model is called.
            encoder: ``offline``, a TensorFlow Hub handle or a SavedModel's path; that of the settings unless given.
            cache: Folder that keeps what a Hub encoder gave; that of the settings unless given.
            epochs: Passes over the purchases.
            window: Number of invoices that a history holds, as in the stream.
        """
        super().__init__(name, epochs=epochs, window=window)
        settings = load_settings()
        self._encoder = encoder or settings.text_encoder
        self._cache = cache or settings.cache

    def _vectors(
        self, invoices: Sequence[Invoice], until: int, codes: Sequence[str], generator: np.random.Generator
    ) -> tuple[TextEncoder | None, Floats]:
        text = make_encoder(descriptions_before(invoices, until), self._encoder, self._cache)
        newest: dict[str, str | None] = {}
        for invoice in invoices:
            if invoice.date >= until:
                break
            newest.update((line.stock_code, line.description) for line in invoice.lines if line.description)
        return text, text.encode([newest.get(code) for code in codes])
