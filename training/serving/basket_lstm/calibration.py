"""From the network's logits to a ranking and calibrated probabilities."""

from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.features.basket_lstm.customer_inputs import CUSTOMER_INPUTS
from training.features.basket_lstm.view import View
from training.serving.basket_lstm.network import DAYS_SINCE_LAST

_MEAN_SIZE = CUSTOMER_INPUTS.index("log_mean_size")
_BASKETS = CUSTOMER_INPUTS.index("log_baskets")


class Ranked(NamedTuple):
    """One customer's candidates, best first: positions in the view and log softmax, both ``[candidates]``.

    ``held_share``: share of the softmax that falls to items the customer bought and did not return, 0 to 1.
    """

    position: NDArray[np.int64]
    log_softmax: NDArray[np.float64]
    held_share: float

    def first(self, n: int) -> "Ranked":
        """The first ``n`` of them."""
        return self._replace(position=self.position[:n], log_softmax=self.log_softmax[:n])


def rank(view: View, logits: NDArray[np.float32]) -> list[Ranked]:
    """Each customer's candidates by falling logit; ties by row."""
    ends = view.customer.searchsorted(np.arange(len(view.length) + 1)).tolist()
    log_softmax = logits.astype(np.float64)
    starts = [start for start, end in pairwise(ends) if end > start]
    if starts:
        sizes = np.diff([*starts, len(logits)])
        log_softmax -= np.maximum.reduceat(log_softmax, starts).repeat(sizes)
        log_softmax -= np.log(np.add.reduceat(np.exp(log_softmax), starts)).repeat(sizes)
    held = np.concatenate([[0.0], np.where(view.is_held, np.exp(log_softmax), 0.0).cumsum()]).tolist()
    ranked = []
    for start, end in pairwise(ends):
        of_customer = log_softmax[start:end]
        order = (-of_customer).argsort(kind="stable")
        ranked.append(Ranked(start + order, of_customer[order], max(held[end] - held[start], 0.0)))
    return ranked


class BasketCalibration(msgspec.Struct, frozen=True):
    """From a softmax over candidates to the probability that an item is in the next basket.

    p = σ(bias + slope log softmax + per_size log(1 + mean basket size) + per_basket log(1 + baskets) + at_visit +
    per_known share): Platt scaling with four further inputs. A softmax sums to 1 however many items a basket holds,
    hence the mean basket size. It is sharper for customers with many baskets, hence their number. At a visit (time has
    passed since the last basket) today's demand fits better than at an emission. And customers whose softmax falls
    mostly to items bought before buy more of the first of them. ``slope`` is above 0, so the order stays.
    """

    bias: float = 0.0
    slope: float = 1.0
    per_size: float = 0.5
    per_basket: float = 0.0
    at_visit: float = 0.0
    per_known: float = 0.0

    def __post_init__(self) -> None:
        if not np.isfinite(self._weights).all() or self.slope <= 0.0:
            raise ValueError("A calibration needs finite numbers and a slope above 0.")

    @property
    def _weights(self) -> NDArray[np.float64]:
        return np.asarray([self.bias, self.slope, self.per_size, self.per_basket, self.at_visit, self.per_known])

    @staticmethod
    def inputs(ranked: Ranked, customer_inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """The columns that the weights belong to, ``[candidates, 6]``; ``customer_inputs`` of one customer."""
        columns = np.ones((len(ranked.log_softmax), 6))
        columns[:, 1] = ranked.log_softmax
        columns[:, 2:] = (
            customer_inputs[_MEAN_SIZE],
            customer_inputs[_BASKETS],
            customer_inputs[DAYS_SINCE_LAST] > 0.0,
            ranked.held_share,
        )
        return columns

    def probabilities(self, ranked: Ranked, customer_inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each candidate, best first ``[candidates]``."""
        logit = self.inputs(ranked, customer_inputs) @ self._weights
        p: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))
        return p
