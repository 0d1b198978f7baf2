"""ItemTable: the state of every item as NumPy columns, in training and service alike.

Rows are numbered in order of first sight and never move, so a row number stays valid while the table lives. Demand and
shares are stored as sums scaled to one common reference date, so that an event costs O(its lines) and reading the whole
table is one multiplication: ``demand = sums × 0.5 ** ((now − reference) / half-life)``.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from state.domain.attributes import NO_DATED_ATTRIBUTES, DatedAttributes, attribute_values, merge_attributes
from state.domain.history import MAX_SHARED_CODES
from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES, ItemState
from state.events.attributes import NO_ATTRIBUTES, Attributes
from state.events.dates import DAY
from state.events.invoice import Line
from training.features.item_leaders import Leaders

_DEMAND = slice(0, len(HALF_LIVES))
_SHARES = slice(len(HALF_LIVES), len(HALF_LIVES) + len(SHARE_HALF_LIVES))
_ALL = slice(0, _SHARES.stop)
_WEEKLY = HALF_LIVES.index(7.0)
_HALF_LIFE_SECONDS = np.asarray(HALF_LIVES + SHARE_HALF_LIVES, dtype=np.float64) * DAY
_REBASE_AFTER = int(256 * DAY * min(HALF_LIVES + SHARE_HALF_LIVES))
"""The reference moves once a sale is so many seconds after it: 2 ** 256 is well within a float64."""

_INVOICES_AT_ONCE = 20_000
"""Of ``sell_invoices``: 3 MB for each half-life where invoices have 20 lines."""

_MOST_HALVINGS = (-1000.0, 1000.0)

_NEVER = -(2**62)

LEADERS = 300
"""So many items lead by demand at each of some half-lives, by newness and by baskets ever."""
_LEADING_DAYS = (1.0, 7.0, 30.0)
"""Half-lives of demand by which items lead; of the other sums only the greatest is of interest."""
_LEADER_NUMBERS = (
    *(LEADERS if days in _LEADING_DAYS else 1 for days in HALF_LIVES),
    *(1 for _ in SHARE_HALF_LIVES),
    LEADERS,
    LEADERS,
)
"""Of the sums, then ``sold``, then ``first``."""


class ItemTable:
    """Columns over stock codes; grows by doubling.

    ``codes[row]`` is a stock code and ``rows[code]`` its row. The columns ``first``, ``last`` (dates, seconds since
    1970), ``sold`` (baskets ever) and ``price`` are views of length ``len(table)``, valid until the next change.
    ``all_description_changes``: the sum of ``description_changes``, so that a reader need not look at each.
    ``identity`` differs from that of every other table, also one that is gone: for what is remembered by row.
    """

    def __init__(self, states: Iterable[ItemState] = ()) -> None:
        self.identity = object()
        self.codes: list[str] = []
        self.rows: dict[str, int] = {}
        self._descriptions: list[str | None] = []
        self._dated: list[DatedAttributes] = []
        self._attributes: list[Attributes] = []
        self._reference = 0
        self._newest = _NEVER
        self.all_description_changes = 0
        self._leaders = Leaders(_LEADER_NUMBERS)
        self._allocate(64)
        self.update(states)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def first(self) -> NDArray[np.int64]:
        """Date of the first sale, int64 ``[items]``."""
        return self._first[: len(self.codes)]

    @property
    def last(self) -> NDArray[np.int64]:
        """Date of the newest sale, int64 ``[items]``."""
        return self._last[: len(self.codes)]

    @property
    def sold(self) -> NDArray[np.int64]:
        """Number of baskets with the item so far, int64 ``[items]``."""
        return self._sold[: len(self.codes)]

    @property
    def price(self) -> NDArray[np.float64]:
        """Unit price at the newest sale, float64 ``[items]``."""
        return self._price[: len(self.codes)]

    @property
    def description_changes(self) -> NDArray[np.int64]:
        """Number of changes of the item's description, int64 ``[items]``: shows what must be encoded again."""
        return self._description_changes[: len(self.codes)]

    def description(self, stock_code: str) -> str | None:
        """The newest description of an item, or None where there is none or the item is unknown."""
        row = self.rows.get(stock_code)
        return None if row is None else self._descriptions[row]

    def attributes(self, stock_code: str) -> Attributes:
        """The current attributes of an item, ordered by key; empty where the item is unknown.

        The same object until one of them changes.
        """
        row = self.rows.get(stock_code)
        return NO_ATTRIBUTES if row is None else self._attributes[row]

    def leaders(self) -> NDArray[np.int64]:
        """The rows, sorted, that lead by demand, newness or baskets ever; they cost the changes since the last call."""
        self._update_leaders()
        return self._leaders.rows

    def greatest(self, now: int) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
        """The greatest demand and share at each half-life as of ``now``, and the greatest number of baskets ever.

        0 where there are no items. It costs the changes since the last call.
        """
        self._update_leaders()
        if not len(self):
            return np.zeros(len(HALF_LIVES), np.float32), np.zeros(len(SHARE_HALF_LIVES), np.float32), 0
        sums = self._leaders.greatest[: len(_HALF_LIFE_SECONDS), None]
        demand, shares = self._decay(sums, _DEMAND, now)[0], self._decay(sums, _SHARES, now)[0]
        return demand, np.maximum(shares, np.float32(0.0)), int(self._leaders.greatest[len(_HALF_LIFE_SECONDS)])

    def _update_leaders(self) -> None:
        changed = np.flatnonzero(self._changed[: len(self)])
        if len(changed):
            self._changed[changed] = False
            self._leaders.update(len(self), changed, self._leader_values)

    def _leader_values(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        # Many items were sold as often, or first on the same day: of these, those sold last lead.
        tie = self._last[rows] * 2.0**-40
        return np.concatenate(
            [self._sums[:, rows].T, (self._sold[rows] + tie)[:, None], (self._first[rows] + tie)[:, None]], axis=1
        )

    def demand(self, now: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Decayed number of baskets as of ``now``, float32 ``[items, half-lives]``, in the order of ``HALF_LIVES``.

        Of some ``rows`` only, where they are given. A ``now`` before the newest sale gives the demand as of that sale:
        later sales are not subtracted.
        """
        return self._decayed(_DEMAND, now, rows)

    def decayed_demand(self, now: int) -> "DecayedDemand":
        """``demand`` with a half-life of a week, until the next change of the table; costs nothing until it is read."""
        return DecayedDemand(self._sums[_WEEKLY, : len(self.codes)], float(self._factors(now)[_WEEKLY]))

    def shares(self, now: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Decayed shares as of ``now``, float32 ``[items, half-lives]``, in the order of ``SHARE_HALF_LIVES``.

        Each basket counts 1 / √(its distinct stock codes) instead of 1; otherwise as ``demand``. Never below 0, where a
        state can be: by rounding, or when an invoice changes that was counted before shares were stored.
        """
        return np.maximum(self._decayed(_SHARES, now, rows), np.float32(0.0))

    def decayed(
        self, now: int, rows: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``demand`` and ``shares`` in one pass, with a row a half-life; shares can be below 0 by rounding."""
        decayed = self._decayed(_ALL, now, rows).T
        return decayed[_DEMAND], decayed[_SHARES]

    def sell(self, lines: Sequence[Line], date: int) -> None:
        """Count the purchase lines of one whole invoice: each stock code once, however many lines it has.

        Returns (negative quantities) are skipped. Equals counting each stock code by itself, with share
        1 / √(distinct stock codes purchased, at most ``MAX_SHARED_CODES``), up to float rounding. Price (ties: the
        larger) and description (ties: the larger text) are those of the newest date, in whatever order invoices come.
        """
        bought = [line for line in lines if line.quantity > 0]
        if not bought:
            return
        self._move_reference(date)
        rows = np.fromiter((self._row(line.stock_code) for line in bought), np.int64, len(bought))
        unique, inverse = np.unique(rows, return_inverse=True)
        price = np.zeros(len(unique))
        np.maximum.at(
            price,
            inverse,
            np.fromiter((line.unit_price for line in bought), np.float64, len(bought)),
        )

        once = np.exp2(_halvings(self._reference, date))
        once[_SHARES] /= np.sqrt(min(len(unique), MAX_SHARED_CODES))
        self._sums[:, unique] += once[:, None]
        self._sold[unique] += 1
        self._first[unique] = np.minimum(self._first[unique], date)
        self._last[unique] = np.maximum(self._last[unique], date)
        self._changed[unique] = True
        newer = date > self._price_date[unique]
        dearer = (date == self._price_date[unique]) & (price > self._price[unique])
        self._price_date[unique[newer]] = date
        take = newer | dearer
        self._price[unique[take]] = price[take]
        for row, line in zip(rows.tolist(), bought, strict=True):
            self._describe(row, line.description, date)
            if line.attributes:
                self.merge_attributes(row, line.attributes, date)

    def add_codes(self, codes: Iterable[str]) -> None:
        """Append rows, without a sale, of stock codes that the table does not have yet."""
        for code in codes:
            self._row(code)

    def sell_invoices(
        self, dates: NDArray[np.int64], sizes: NDArray[np.int64], rows: NDArray[np.int64], prices: NDArray[np.float64]
    ) -> None:
        """Count the sales of many whole invoices; equals ``sell`` of each, to the last bit, but for texts.

        Args:
            dates: Of the invoices, rising, int64 ``[invoices]``.
            sizes: Number of distinct stock codes purchased in each, at least 1, int64 ``[invoices]``.
            rows: Their rows, invoice by invoice, int64 ``[sales]``.
            prices: Their greatest unit prices, float64 ``[sales]``.
        """
        start = 0
        while start < len(dates):
            self._move_reference(int(dates[start]))
            # Up to the next invoice that moves the reference.
            end = start + int(np.searchsorted(dates[start:], self._reference + _REBASE_AFTER, side="right"))
            end = min(max(end, start + 1), start + _INVOICES_AT_ONCE)
            first, last = int(sizes[:start].sum()), int(sizes[:end].sum())
            self._sell_invoices(dates[start:end], sizes[start:end], rows[first:last], prices[first:last])
            start = end

    def _sell_invoices(
        self, dates: NDArray[np.int64], sizes: NDArray[np.int64], rows: NDArray[np.int64], prices: NDArray[np.float64]
    ) -> None:
        """``sell_invoices`` where the reference does not move."""
        self._newest = max(self._newest, int(dates[-1]))
        once = np.exp2(np.clip((dates - self._reference)[:, None] / _HALF_LIFE_SECONDS, -1000.0, 1000.0))
        once[:, _SHARES] /= np.sqrt(np.minimum(sizes, MAX_SHARED_CODES))[:, None]
        invoice = np.repeat(np.arange(len(dates)), sizes)
        # In the order of the invoices, as sums of floats depend on it.
        for sums, amount in zip(self._sums, once.T, strict=True):
            np.add.at(sums, rows, amount[invoice])
        date = dates[invoice]
        np.add.at(self._sold, rows, 1)
        np.minimum.at(self._first, rows, date)
        np.maximum.at(self._last, rows, date)
        self._changed[rows] = True
        order = np.lexsort((prices, date, rows))
        newest = order[np.flatnonzero(np.diff(rows[order], append=-1))]
        row, when, price = rows[newest], date[newest], prices[newest]
        take = (when > self._price_date[row]) | ((when == self._price_date[row]) & (price > self._price[row]))
        self._price_date[row[take]] = when[take]
        self._price[row[take]] = price[take]

    def describe(self, row: int, text: str, date: int) -> bool:
        """Count the description of a sale; returns whether it is the item's now.

        The newest one is the item's, of equal dates the larger text.
        """
        self._describe(row, text, date)
        return self._descriptions[row] == text

    def describe_again(self, rows: NDArray[np.int64], dates: NDArray[np.int64]) -> None:
        """``describe`` with the descriptions that the rows have already."""
        np.maximum.at(self._description_date, rows, dates)

    def merge_attributes(self, row: int, attributes: Attributes, date: int) -> None:
        """Count the attributes of an item in a sale."""
        self._set_attributes(row, merge_attributes(self._dated[row], attributes, date))

    def update(self, states: Iterable[ItemState]) -> None:
        """Replace the state of each of the given items; of one that comes twice the last state is used."""
        states = list(states)
        if not states:
            return
        touched = np.array([state.as_of for state in states], np.int64)
        self._move_reference(int(touched.max()))
        found = [self._row(state.stock_code) for state in states]
        rows = np.array(found, np.int64)
        sums = np.array([(*state.demand, *state.shares) for state in states], np.float64).T
        halvings = np.clip((touched - self._reference) / _HALF_LIFE_SECONDS[:, None], *_MOST_HALVINGS)
        self._sums[:, rows] = sums * np.exp2(halvings)
        self._first[rows] = [state.first for state in states]
        self._last[rows] = [state.last for state in states]
        self._changed[rows] = True
        self._sold[rows] = [state.sold for state in states]
        self._price[rows] = [state.price for state in states]
        self._price_date[rows] = [state.price_date for state in states]
        self._description_date[rows] = [state.description_date for state in states]
        for row, state in zip(found, states, strict=True):
            if state.description != self._descriptions[row]:
                self._set_description(row, state.description)
            if state.dated_attributes is not self._dated[row]:
                self._set_attributes(row, state.dated_attributes)

    def _decayed(self, columns: slice, now: int, rows: NDArray[np.int64] | None) -> NDArray[np.float32]:
        return self._decay(self._sums[:, : len(self.codes)] if rows is None else self._sums[:, rows], columns, now)

    def _decay(self, sums: NDArray[np.float64], columns: slice, now: int) -> NDArray[np.float32]:
        """Of sums ``[half-lives, items]`` those of some columns as of ``now``, float32 ``[items, columns]``."""
        decayed = sums[columns] * self._factors(now)[columns, None]
        return decayed.astype(np.float32).T  # half the time of a product into float32 (NumPy 2.4)

    def _factors(self, now: int) -> NDArray[np.float64]:
        """By what the sums of each half-life have decayed as of ``now``."""
        factors: NDArray[np.float64] = np.exp2(-_halvings(self._reference, max(now, self._newest)))
        return factors

    def _describe(self, row: int, text: str | None, date: int) -> None:
        if text is None:
            return
        current = self._descriptions[row]
        current_date = int(self._description_date[row])
        if current is None or date > current_date or (date == current_date and text > current):
            self._set_description(row, text)
            self._description_date[row] = date

    def _set_description(self, row: int, text: str | None) -> None:
        if text != self._descriptions[row]:
            self._descriptions[row] = text
            self._description_changes[row] += 1
            self.all_description_changes += 1

    def _set_attributes(self, row: int, dated: DatedAttributes) -> None:
        if dated is self._dated[row]:
            return
        self._dated[row] = dated
        if (now := attribute_values(dated)) != self._attributes[row]:
            self._attributes[row] = now

    def _row(self, code: str) -> int:
        row = self.rows.get(code)
        if row is None:
            row = self.rows[code] = len(self.codes)
            self.codes.append(code)
            self._descriptions.append(None)
            self._dated.append(NO_DATED_ATTRIBUTES)
            self._attributes.append(NO_ATTRIBUTES)
            if row == len(self._sold):
                self._grow()
        return row

    def _move_reference(self, date: int) -> None:
        self._newest = max(self._newest, date)
        if date - self._reference > _REBASE_AFTER:
            self._sums *= np.exp2(-_halvings(self._reference, date))[:, None]
            self._reference = date
            self._leaders.forget()
            self._changed[: len(self)] = True

    def _allocate(self, capacity: int) -> None:
        self._sums = np.zeros((len(_HALF_LIFE_SECONDS), capacity), np.float64)  # a row a half-life: reads are long
        self._changed = np.zeros(capacity, np.bool_)
        self._first = np.full(capacity, -_NEVER, np.int64)
        self._last = np.full(capacity, _NEVER, np.int64)
        self._sold = np.zeros(capacity, np.int64)
        self._description_changes = np.zeros(capacity, np.int64)
        self._price = np.zeros(capacity, np.float64)
        self._price_date = np.full(capacity, _NEVER, np.int64)
        self._description_date = np.zeros(capacity, np.int64)

    def _grow(self) -> None:
        old_columns = (
            self._sums,
            self._changed,
            self._first,
            self._last,
            self._sold,
            self._description_changes,
            self._price,
            self._price_date,
            self._description_date,
        )
        size = len(self._sold)
        self._allocate(2 * size)
        new_columns = (
            self._sums,
            self._changed,
            self._first,
            self._last,
            self._sold,
            self._description_changes,
            self._price,
            self._price_date,
            self._description_date,
        )
        for old, new in zip(old_columns, new_columns, strict=True):
            new[..., :size] = old


class DecayedDemand:
    """The demand of the items of a table with a half-life of a week, as of a time: computed as far as it is read."""

    def __init__(self, sums: NDArray[np.float64], factor: float) -> None:
        self._sums = sums
        self._factor = factor

    def of(self, row: int) -> float:
        """The demand of one item."""
        return float(np.float32(self._sums[row] * self._factor))

    def of_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The demand of some items."""
        demand: NDArray[np.float32] = (self._sums[rows] * self._factor).astype(np.float32)
        return demand

    @cached_property
    def all(self) -> NDArray[np.float32]:
        """That of all items, float32 ``[items]``."""
        demand: NDArray[np.float32] = (self._sums * self._factor).astype(np.float32)
        return demand


def _halvings(since: int, until: int) -> NDArray[np.float64]:
    """Number of half-lives between two dates, float64 ``[half-lives]``: those of demand, then those of shares.

    Clipped to ±1,000, where 2 to the power of it is practically 0 or still finite.
    """
    halvings: NDArray[np.float64] = np.clip((until - since) / _HALF_LIFE_SECONDS, *_MOST_HALVINGS)
    return halvings
