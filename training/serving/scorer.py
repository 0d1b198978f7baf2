"""Scorer: the form in which a model answers in the stream. No TensorFlow on this import path."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from state.domain.history import CustomerHistory
from training.features.item_table import ItemTable

HORIZONS = (7, 14, 30, 60, 90)
"""Days for which the chance of a return is given."""


class Candidate(msgspec.Struct, frozen=True):
    """One scored item.

    ``probability`` is calibrated, given that the customer buys again; ``because`` is the item of the customer's history
    that speaks most for it (item-to-item), if any.
    """

    stock_code: str
    probability: float
    because: str | None = None


class Prediction(msgspec.Struct, frozen=True):
    """One customer's ranking, best first, and the chance of a return within each of ``HORIZONS`` days of ``now``."""

    candidates: list[Candidate]
    return_curve: tuple[float, ...]


class Scorer(Protocol):
    """A loaded model: ranks items for customers. Pure: the same inputs give the same answer."""

    name: str
    version: str

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer in one model call.

        ``now`` (seconds since 1970) is the moment of the prediction. Never raises for a history or item it has not
        seen: a customer with nothing left in the history gets what is in demand.
        """
        ...
