"""Who is due: the chance that a customer buys within a window, when, for how much, and with which basket."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.domain.recommendation import AppliedRules, Item, ModelVersion
from state.events.attributes import Attributes
from state.events.invoice import THOUSAND
from state.events.struct_schema import struct_schema

VALUE_STRENGTH = 2.0
"""Number of the customer's baskets that the shop's mean basket value counts as (best on 2011-04-01 to 05-31)."""


class DueCustomer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A customer who is likely to buy within a window, given that no purchase has come since ``last_purchase``.

    Attributes:
        due_id: Hash of customer, day of ``at`` and window: identifies a message that is sent twice.
        customer_id: The customer.
        at: The time that the prediction is for; the window begins then. Dates are ISO 8601 in UTC.
        within_days: Length of the window in days.
        valid_until: The end of the window.
        chance: Probability of a purchase within the window.
        due_date: The day on which the chance reaches 50 %, None where it does not within 90 days.
        last_purchase: Date of the newest purchase.
        days_since: Whole days from then to ``at``.
        purchases: Number of purchase invoices in the history.
        basket_value: Expected value of a basket of the customer, in the currency of the events.
        expected_value: ``chance`` times ``basket_value``.
        model: The model that predicted.
        items: The next basket with its reasons, for a visit at ``at``.
        rules: What acted on the list, None where nothing did.
        attributes: The customer's.
    """

    due_id: str
    customer_id: str
    at: str
    within_days: int
    valid_until: str
    chance: float
    due_date: str | None
    last_purchase: str
    days_since: int
    purchases: int
    basket_value: float
    expected_value: float
    model: ModelVersion
    items: list[Item]
    rules: AppliedRules | None = None
    attributes: Attributes = msgspec.field(default_factory=dict)


def due_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a due customer."""
    return struct_schema(DueCustomer, "Due customer, version 1")


def chance_within(curve: Sequence[float], horizons: Sequence[int], days: float) -> float:
    """The chance of a return within a number of days: linear from (0, 0) and between the horizons.

    Args:
        curve: Probability of a return within each of ``horizons``, conditioned on no purchase until now.
        horizons: Days, ascending.
        days: Above 0, at most the last horizon.

    Raises:
        ValueError: ``days`` is beyond the curve.
    """
    points = [(0.0, 0.0), *((float(each), chance) for each, chance in zip(horizons, curve, strict=True))]
    for (left, low), (right, high) in pairwise(points):
        if 0.0 < days <= right:
            return low + (high - low) * (days - left) / (right - left)
    raise ValueError(f"{days:g} days are not within the curve, which ends after {points[-1][0]:g}.")


def net_spending(history: CustomerHistory) -> float:
    """The value of all purchase lines of a history less that of the returns; 0 where the returns are larger."""
    return max(0.0, sum([invoice.net_value for invoice in history.invoices]) / THOUSAND)


Numbers = TypeVar("Numbers", float, NDArray[np.float64])


def basket_value(spending: Numbers, purchases: Numbers, shop_mean: float) -> Numbers:
    """Expected value of a customer's next basket: the mean of theirs, shrunk to that of the shop.

    (spending + s · shop mean) / (purchases + s), with s = ``VALUE_STRENGTH``: the form of the conditional expectation
    of the gamma-gamma model (Fader and Hardie, "The Gamma-Gamma model of monetary value", 2013), with a fixed weight.

    Args:
        spending: As ``net_spending`` gives it, of one customer or of several.
        purchases: Number of purchase invoices.
        shop_mean: Mean basket value of all customers.
    """
    return (spending + VALUE_STRENGTH * shop_mean) / (purchases + VALUE_STRENGTH)
