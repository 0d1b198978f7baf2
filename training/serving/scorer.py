"""The ``Scorer`` protocol: how a loaded model ranks items. No TensorFlow on this import path."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from training.features.item_table import ItemTable

HORIZONS = (7, 14, 30, 60, 90)
"""Days for which the probability of a return is given."""
CALIBRATION_DEPTH = 20
"""Number of first items of a ranking whose probabilities are calibrated and evaluated: those that are shown."""

FURTHER_DEPTH = 1_000
"""Length of a ranking with its further candidates, by a model that ranks all items."""


class Candidate(msgspec.Struct, frozen=True):
    """One scored item.

    ``probability`` is calibrated, given that the customer buys again; ``source_item`` is the stock code of the item in
    the customer's history that contributes most to its item-to-item score, if any.
    """

    stock_code: str
    probability: float
    source_item: str | None = None


class Prediction(msgspec.Struct, frozen=True):
    """One customer's ranking, best first, and the probability of a return within each of ``HORIZONS`` from ``now``.

    ``further`` continues the ranking, where they were asked for.
    """

    candidates: list[Candidate]
    return_curve: tuple[float, ...]
    further: list[Candidate] = []


class Scorer(Protocol):
    """A loaded model: ranks items for customers.

    Pure: the same inputs give the same predictions, whatever was predicted before, in any order and batch, and no
    input is changed. Threads may share a scorer if each has an item table that no other thread uses.
    """

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def version(self) -> str:
        """Version of the bundle."""
        ...

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """Rank up to ``k`` items for each customer in one model call.

        ``now`` (seconds since 1970) is the time of the prediction. Never raises for an unknown history or item; a
        customer without purchases gets the items in demand.
        """
        ...


@runtime_checkable
class FurtherCandidates(Protocol):
    """A scorer that ranks a few hundred candidates of each customer, and fills longer rankings by demand."""

    def predict_further(
        self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int
    ) -> list[Prediction]:
        """The predictions of ``Scorer.predict``; ``further`` are all other candidates, which demand does not fill."""
        ...


@runtime_checkable
class ReturnCurves(Protocol):
    """A scorer that predicts when customers return without ranking items, which costs most of a prediction."""

    def return_curves(self, histories: Sequence[CustomerHistory], now: int) -> NDArray[np.float64]:
        """Probability of a return within each of ``HORIZONS`` days of ``now``, given none since the newest purchase.

        Returns:
            float64 ``[customers, horizons]``.
        """
        ...


@runtime_checkable
class ReturnSurvival(Protocol):
    """A scorer whose return curve follows from numbers that stay the same until the customer's next purchase."""

    def return_survival(self, histories: Sequence[CustomerHistory]) -> NDArray[np.float64]:
        """Log probability of no return since the newest purchase ``[customers, edges]``, for ``curve_after``."""
        ...


def predict(
    scorer: Scorer, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int, *, further: bool
) -> list[Prediction]:
    """Rankings of up to ``k`` items; with ``further`` each has the further candidates of the model.

    Of a model that ranks all items these are the items up to the position ``FURTHER_DEPTH``.
    """
    if not further:
        return scorer.predict(histories, items, now, k)
    if isinstance(scorer, FurtherCandidates):
        return scorer.predict_further(histories, items, now, k)
    return [
        Prediction(each.candidates[:k], each.return_curve, each.candidates[k:])
        for each in scorer.predict(histories, items, now, max(k, FURTHER_DEPTH))
    ]


@runtime_checkable
class ItemToItem(Protocol):
    """A scorer that knows which items are bought in one basket."""

    def bought_together(self, stock_codes: Sequence[str]) -> dict[str, float]:
        """Item-to-item score of the items that go with a basket: the sum of EASE's weights over its stock codes.

        The basket's items and items of score 0 are left out; a score below 0 belongs to a substitute. Empty where the
        model knows none of the stock codes.
        """
        ...
