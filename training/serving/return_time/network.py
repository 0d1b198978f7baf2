"""When a customer comes back, by the network: a hazard for each interval after the newest purchase. Numpy only.

Gensheimer and Narasimhan, "A scalable discrete-time survival model for neural networks", PeerJ 2019: the network gives
the chance of a return in each interval, given that there was none before; the chance of none at all until a day is the
product of what is left. So the curve never falls, and after some days without a return it is conditioned on them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from training.serving.basket_lstm.network import BOUND
from training.serving.return_time.inputs import RETURN_INPUTS, newest_purchases, return_inputs
from training.serving.scorer import HORIZONS

EDGES = (0.0, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 14.0, 21.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 270.0, 366.0)
"""Days since the newest purchase between which the hazard is one number; behind the last it stays what it was."""

SHAPES: dict[str, tuple[str, ...]] = {
    "since": ("one",),
    "mean": ("input",),
    "deviation": ("input",),
    "hidden_kernel": ("input", "width"),
    "hidden_bias": ("width",),
    "hazard_kernel": ("width", "interval"),
    "hazard_bias": ("interval",),
}
"""Every array of the network and what its axes stand for; ``since`` is when its log begins, days since 1970."""


class NumpyReturnNetwork:
    """The network's forward pass, and the chances that follow from it."""

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the arrays of ``SHAPES`` over.

        Raises:
            ValueError: One is missing, of another shape, or holds something else than finite float32.
        """
        if arrays.keys() != SHAPES.keys():
            raise ValueError(f"the network of returns has {sorted(arrays)}, not {sorted(SHAPES)}")
        known = {"one": 1, "input": len(RETURN_INPUTS), "interval": len(EDGES) - 1, "width": arrays["hidden_bias"].size}
        for name, axes in SHAPES.items():
            shape, array = tuple(known[axis] for axis in axes), arrays[name]
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"the network of returns has a {name} that is no finite float32 of shape {shape}")
        if not (arrays["deviation"] > 0.0).all():
            raise ValueError("the network of returns has a deviation that is not above 0")
        self.arrays = dict(arrays)

    def logits(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log odds of a return in each interval, given none before, float32 ``[customers, intervals]``."""
        arrays = self.arrays
        scaled = np.clip((inputs - arrays["mean"]) / arrays["deviation"], -BOUND, BOUND)
        hidden = np.tanh(scaled @ arrays["hidden_kernel"] + arrays["hidden_bias"])
        logits: NDArray[np.float32] = hidden @ arrays["hazard_kernel"] + arrays["hazard_bias"]
        return logits

    def curve(self, histories: Sequence[CustomerHistory], now: int) -> NDArray[np.float64]:
        """The chance of a return within each of ``HORIZONS`` days of ``now``, never falling with the horizon.

        Args:
            histories: Of any customers; one who never bought is read as one with a first, empty basket at ``now``.
            now: The moment of the prediction; one before the newest purchase counts as that purchase.

        Returns:
            float64 ``[customers, horizons]``.
        """
        left, gone = self._left(histories, now)
        already = _at(left, gone[:, None])
        chances: NDArray[np.float64] = -np.expm1(_at(left, gone[:, None] + np.asarray(HORIZONS, np.float64)) - already)
        return chances

    def days_until(
        self, histories: Sequence[CustomerHistory], now: int, chances: Sequence[float]
    ) -> NDArray[np.float64]:
        """Days from ``now`` until the chance of a return passes each of ``chances``, float64 ``[customers, chances]``.

        NaN where it does not within the last of ``EDGES``, counted from the newest purchase: more is not foreseen.
        """
        left, gone = self._left(histories, now)
        wanted = _at(left, gone[:, None]) + np.log1p(-np.asarray(chances, np.float64))
        edges = np.asarray(EDGES)
        days = np.full(wanted.shape, np.nan)
        for row, falls in enumerate(left):
            # The log of what is left falls in straight lines between the edges.
            days[row] = np.interp(-wanted[row], -falls, edges, right=np.nan) - gone[row]
        ahead: NDArray[np.float64] = np.maximum(days, 0.0)
        return ahead

    def _left(self, histories: Sequence[CustomerHistory], now: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log of the chance of no return by each edge ``[customers, edges]``, and days gone by ``[customers]``."""
        bought = newest_purchases(histories)
        gone = np.where(bought > 0, np.maximum(now - bought, 0) / DAY, 0.0)
        logits = self.logits(return_inputs(histories, float(self.arrays["since"][0]))).astype(np.float64)
        left = np.zeros((len(histories), len(EDGES)))
        np.cumsum(-np.logaddexp(0.0, logits), axis=1, out=left[:, 1:])
        return left, gone


def _at(left: NDArray[np.float64], days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the chance of no return at days ``[customers, n]``; straight between the edges, and on behind the last."""
    edges = np.asarray(EDGES)
    place = np.clip(np.searchsorted(edges, days, side="right") - 1, 0, len(edges) - 2)
    part = (days - edges[place]) / np.diff(edges)[place]
    before = np.take_along_axis(left, place, axis=1)
    after = np.take_along_axis(left, place + 1, axis=1)
    found: NDArray[np.float64] = before + part * (after - before)
    return found
