"""Features of a customer for the two towers: a bag of items with numbers of each, RFMV, attributes. NumPy only."""

import math
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.domain.history import CustomerHistory, HeldInvoice, baskets
from state.events.attributes import Attributes
from state.events.dates import DAY
from state.events.invoice import THOUSAND
from training.features.item_table import ItemTable

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BIRTH_DATE = "birth_date"
"""Attribute of a customer from which the age is computed: ``1980-05-17``."""
YEAR = 365.25 * DAY

BASKET_DECAY = 0.95
"""Weight of a basket in the bag relative to the one after it."""
MAX_BAG = 256
"""Greatest number of items in a bag; of more, those with the greatest weights."""

RFMV = ("recency", "frequency", "monetary", "variety")
"""log(1 + days since the last purchase), (1 + purchases), (1 + money spent), (1 + distinct items)."""
KNOWN = ("bought_before", "log_times", "log_days_since")
"""Numbers of an item in the bag: 1, log of the decayed number of purchases, log(1 + days since the last)."""


class CustomerFeatures(NamedTuple):
    """Features of one customer.

    ``rows`` int64 ``[entries]`` of the item table · ``weights`` float32 ``[entries]``, together of length 1 ·
    ``known`` float32 ``[entries, KNOWN]`` · ``rfmv`` float32 ``[4]`` · ``age`` in years, NaN if unknown.
    """

    rows: Ints
    weights: Floats
    known: Floats
    rfmv: Floats
    age: float
    attributes: Attributes


def customer_features(history: CustomerHistory, items: ItemTable, now: int) -> CustomerFeatures:
    """Features of one customer as of ``now``, from the invoices of the history.

    A purchase counts whether or not a part of it was returned; an item returned entirely does not count, as in the
    baselines. A customer without purchases, or with all returned, has an empty bag and zeros; items that are not in the
    table are skipped.
    """
    invoices = tuple(invoice for invoice in history.invoices if invoice.date <= now)
    returned = _entirely_returned(invoices)
    weight: dict[int, float] = {}
    newest: dict[int, int] = {}
    spent, purchases, last = 0.0, 0, None
    decay = 1.0
    distinct: set[str] = set()
    for invoice in reversed(invoices):
        bought = invoice.purchased_codes - returned
        if not bought:
            continue
        lines = [line for line in invoice.lines if line.quantity > 0 and line.stock_code in bought]
        last = invoice.date if last is None else last
        spent += sum(line.quantity * line.unit_price for line in lines) / THOUSAND
        purchases += 1
        distinct |= bought
        for code in bought:
            row = items.rows.get(code)
            if row is not None:
                weight[row] = weight.get(row, 0.0) + decay
                newest.setdefault(row, invoice.date)
        decay *= BASKET_DECAY
    bag = sorted(weight, key=lambda row: (-weight[row], row))[:MAX_BAG]
    weights = np.asarray([weight[row] for row in bag], np.float32)
    idle = np.asarray([(now - newest[row]) / DAY for row in bag], np.float32)
    known = np.stack([np.ones_like(weights), np.log(weights), np.log1p(idle)], axis=1)
    if len(bag):
        weights /= np.float32(np.linalg.norm(weights))
    days = 0.0 if last is None else (now - last) / DAY
    rfmv = np.log1p(np.asarray([days, purchases, spent, len(distinct)])).astype(np.float32)
    attributes = history.attributes
    return CustomerFeatures(
        np.asarray(bag, np.int64), weights, known, rfmv, age(attributes.get(BIRTH_DATE), now), attributes
    )


def _entirely_returned(invoices: tuple[HeldInvoice, ...]) -> frozenset[str]:
    """Stock codes that were bought and returned entirely."""
    history = CustomerHistory("", invoices)
    returned = history.returned_codes
    if not returned:
        return returned
    return returned - {code for basket in baskets(history) for code in basket.items}


def age(birth_date: str | None, now: int) -> float:
    """Years since a birth date (``YYYY-MM-DD``, the rest is ignored); NaN for none, no date, or outside 0 to 120."""
    try:
        born = (date.fromisoformat((birth_date or "")[:10]) - date(1970, 1, 1)).days * DAY
    except ValueError:
        return math.nan
    years = (now - born) / YEAR
    return years if 0.0 <= years <= 120.0 else math.nan
