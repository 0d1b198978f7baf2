"""ItemState: demand, price and description of an item; pure functions, each O(1) an event.

Two kinds of change. ``count_sale``: an invoice has the item; it counts once an invoice, however many lines and
deliveries, in demand and shares, which are stored decayed to the date ``as_of``. ``observe_sale``: a purchase line was
delivered; it can only raise a maximum or lower a minimum. Both commute, so any order of events ends in the same state,
except for float rounding. ``scripts/items.lua`` does the same in Redis; the contract suite compares the two.
"""

import msgspec

from state.domain.attributes import DatedAttributes, attribute_values, merge_attributes, no_dated_attributes
from state.events.attributes import NO_ATTRIBUTES, Attributes
from state.events.dates import DAY

HALF_LIVES = (1.0, 3.0, 7.0, 14.0, 21.0, 30.0)
"""Half-lives of demand, in days."""

SHARE_HALF_LIVES = (3.0, 7.0, 30.0)
"""Half-lives of shares, in days."""


class ItemState(msgspec.Struct, frozen=True):
    """The state of one item. Dates are seconds since 1970.

    ``demand``: one value a half-life; a purchase counts 0.5^(days ago / half-life) at ``as_of``, the greatest date so
    far. ``sold``: the number of invoices with the item. ``first`` and ``last``: smallest and greatest purchase date.
    ``price`` and ``description`` are those of the newest purchase (ties: the larger), with their dates.
    ``shares``: as demand, at ``SHARE_HALF_LIVES``, but a purchase counts 1 / √k where its invoice has k distinct
    purchased stock codes. So a large invoice counts √k in total and does not outweigh many small ones.
    ``dated_attributes`` are the item's attributes with their dates (see ``state.domain.attributes``).
    """

    stock_code: str
    as_of: int
    demand: tuple[float, ...]
    sold: int
    first: int
    last: int
    price: float
    price_date: int
    description: str | None = None
    description_date: int = 0
    shares: tuple[float, ...] = (0.0,) * len(SHARE_HALF_LIVES)
    dated_attributes: DatedAttributes = msgspec.field(default_factory=no_dated_attributes)

    @property
    def attributes(self) -> Attributes:
        """The item's attributes, ordered by key."""
        return attribute_values(self.dated_attributes)


def record_sale(
    state: ItemState | None,
    stock_code: str,
    date: int,
    price: float,
    description: str | None = None,
    share: float = 1.0,
    attributes: Attributes = NO_ATTRIBUTES,
) -> ItemState:
    """The state after one more invoice with the item: ``observe_sale``, then ``count_sale``."""
    return count_sale(observe_sale(state, stock_code, date, price, description, attributes), date, 1, share)


def observe_sale(
    state: ItemState | None,
    stock_code: str,
    date: int,
    price: float,
    description: str | None = None,
    attributes: Attributes = NO_ATTRIBUTES,
) -> ItemState:
    """The state after a purchase line was delivered, for the first time or again; idempotent, counts no demand."""
    if state is None:
        zero = (0.0,) * len(HALF_LIVES)
        state = ItemState(
            stock_code, date, zero, 0, date, date, price, date, description, 0 if description is None else date
        )
    if (date, price) > (state.price_date, state.price):
        state = msgspec.structs.replace(state, price=price, price_date=date)
    if description is not None and (
        state.description is None or (date, description) > (state.description_date, state.description)
    ):
        state = msgspec.structs.replace(state, description=description, description_date=date)
    if (
        attributes
        and (dated := merge_attributes(state.dated_attributes, attributes, date)) is not state.dated_attributes
    ):
        state = msgspec.structs.replace(state, dated_attributes=dated)
    if date < state.first:
        state = msgspec.structs.replace(state, first=date)
    if date > state.last:
        state = msgspec.structs.replace(
            state, last=date, as_of=date, demand=demand_at(state, date), shares=shares_at(state, date)
        )
    return state


def count_sale(state: ItemState, date: int, times: int, share: float) -> ItemState:
    """The state after a ``DemandChange`` at a date that was observed before; see there for ``times`` and ``share``."""
    elapsed = state.as_of - date
    demand = tuple(
        value + times * _decay(elapsed, half_life) for value, half_life in zip(state.demand, HALF_LIVES, strict=True)
    )
    shares = tuple(
        value + share * _decay(elapsed, half_life)
        for value, half_life in zip(state.shares, SHARE_HALF_LIVES, strict=True)
    )
    return msgspec.structs.replace(state, demand=demand, sold=state.sold + times, shares=shares)


def demand_at(state: ItemState, now: int) -> tuple[float, ...]:
    """Demand at each of ``HALF_LIVES``, decayed to ``now``; not decayed where ``now`` is before ``as_of``."""
    return _decayed(state.demand, HALF_LIVES, now - state.as_of)


def shares_at(state: ItemState, now: int) -> tuple[float, ...]:
    """Shares at each of ``SHARE_HALF_LIVES``, decayed to ``now``; not decayed where ``now`` is before ``as_of``."""
    return _decayed(state.shares, SHARE_HALF_LIVES, now - state.as_of)


def _decayed(values: tuple[float, ...], half_lives: tuple[float, ...], seconds: int) -> tuple[float, ...]:
    elapsed = max(0, seconds)
    return tuple(value * _decay(elapsed, half_life) for value, half_life in zip(values, half_lives, strict=True))


def _decay(seconds: int, half_life: float) -> float:
    """The factor 0.5^(days / half-life); 0 where it underflows."""
    return float(0.5 ** (seconds / DAY / half_life))
