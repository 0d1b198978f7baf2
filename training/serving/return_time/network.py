"""Return-time network: a hazard for each interval after the newest purchase. NumPy only.

Gensheimer and Narasimhan, "A scalable discrete-time survival model for neural networks", PeerJ 2019: the network gives
the hazard, the probability of a return in each interval given none before; the probability of none until a day is the
product of (1 − hazard). So the curve never falls, and after some days without a return it is conditioned on them.
"""

from collections.abc import Mapping, Sequence
from operator import is_

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from training.features.return_time.inputs import RETURN_INPUTS, newest_purchases, return_inputs
from training.serving.scorer import HORIZONS
from training.serving.standardise import standardise

EDGES = (0.0, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 14.0, 21.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 270.0, 366.0)
"""Days since the newest purchase that bound the intervals; the last hazard continues behind the last edge."""

_EDGES = np.asarray(EDGES)
_WIDTHS = _EDGES[1:] - _EDGES[:-1]

SHAPES: dict[str, tuple[str, ...]] = {
    "since": ("one",),
    "mean": ("input",),
    "deviation": ("input",),
    "hidden_kernel": ("input", "width"),
    "hidden_bias": ("width",),
    "hazard_kernel": ("width", "interval"),
    "hazard_bias": ("interval",),
}
"""Every array of the network and its axes; ``since`` is the start of its log, days since 1970."""


class NumpyReturnNetwork:
    """The forward pass, and the return probabilities computed from it."""

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Checks the arrays of ``SHAPES``.

        Raises:
            ValueError: One is missing, of another shape, or not finite float32.
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
        self._latest: tuple[tuple[CustomerHistory, ...], NDArray[np.float64]] = ((), np.zeros((0, len(EDGES))))

    def logits(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log odds of a return in each interval, given none before, float32 ``[customers, intervals]``."""
        arrays = self.arrays
        standardised = standardise(inputs, arrays["mean"], arrays["deviation"])
        hidden = np.tanh(standardised @ arrays["hidden_kernel"] + arrays["hidden_bias"])
        logits: NDArray[np.float32] = hidden @ arrays["hazard_kernel"] + arrays["hazard_bias"]
        return logits

    def curve(self, histories: Sequence[CustomerHistory], now: int) -> NDArray[np.float64]:
        """Probability of a return within each of ``HORIZONS`` days of ``now``, never falling with the horizon.

        Args:
            histories: Of any customers; one without purchases counts as having an empty first basket at ``now``.
            now: Time of the prediction; before the newest purchase it counts as the date of that.

        Returns:
            float64 ``[customers, horizons]``.
        """
        return curve_after(*self._log_survival(histories, now))

    def log_survival(self, histories: Sequence[CustomerHistory]) -> NDArray[np.float64]:
        """Log probability of no return by each of ``EDGES`` since the newest purchase, ``[customers, edges]``.

        Read only. Of the same histories as in the call before, as when a worker records what it has predicted, it is
        the same array.
        """
        latest, survival = self._latest
        if len(latest) == len(histories) and all(map(is_, latest, histories)):
            return survival
        logits = self.logits(return_inputs(histories, float(self.arrays["since"][0]))).astype(np.float64)
        survival = np.zeros((len(histories), len(EDGES)))
        np.cumsum(-np.logaddexp(0.0, logits), axis=1, out=survival[:, 1:])
        survival.flags.writeable = False
        self._latest = (tuple(histories), survival)
        return survival

    def days_until(
        self, histories: Sequence[CustomerHistory], now: int, probabilities: Sequence[float]
    ) -> NDArray[np.float64]:
        """Days from ``now`` until the probability of a return reaches each of ``probabilities``.

        Returns:
            float64 ``[customers, probabilities]``; NaN where it is not reached within the last of ``EDGES``, counted
            from the newest purchase.
        """
        survival, passed = self._log_survival(histories, now)
        targets = _at(survival, passed[:, None]) + np.log1p(-np.asarray(probabilities, np.float64))
        days = np.full(targets.shape, np.nan)
        for row, falling in enumerate(survival):
            # The log survival is linear between the edges.
            days[row] = np.interp(-targets[row], -falling, _EDGES, right=np.nan) - passed[row]
        from_now: NDArray[np.float64] = np.maximum(days, 0.0)
        return from_now

    def _log_survival(
        self, histories: Sequence[CustomerHistory], now: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``log_survival``, and the days since the newest purchase ``[customers]``."""
        newest = newest_purchases(histories)
        passed = np.where(newest > 0, np.maximum(now - newest, 0) / DAY, 0.0)
        return self.log_survival(histories), passed


def curve_after(
    survival: NDArray[np.floating], passed: NDArray[np.float64], horizons: Sequence[int] = HORIZONS
) -> NDArray[np.float64]:
    """Probability of a return within each of some horizons after some days without one.

    Args:
        survival: As ``NumpyReturnNetwork.log_survival`` gives it ``[customers, edges]``.
        passed: Days since the newest purchase ``[customers]``.
        horizons: Days.

    Returns:
        float64 ``[customers, horizons]``.
    """
    days = np.zeros((len(passed), 1 + len(horizons)))
    days[:, 1:] = horizons
    days += passed[:, None]
    at = _at(survival, days)
    probabilities: NDArray[np.float64] = -np.expm1(at[:, 1:] - at[:, :1])
    return probabilities


def _at(survival: NDArray[np.floating], days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log survival at days ``[customers, n]``: linear between the edges, and extrapolated behind the last."""
    interval = _EDGES.searchsorted(days, side="right") - 1
    np.minimum(np.maximum(interval, 0, out=interval), len(EDGES) - 2, out=interval)
    part = (days - _EDGES[interval]) / _WIDTHS[interval]
    numbers = survival.ravel()
    interval += (np.arange(len(survival)) * len(EDGES))[:, None]
    before, after = numbers.take(interval), numbers.take(interval + 1)
    values: NDArray[np.float64] = before + part * (after - before)
    return values
