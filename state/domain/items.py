"""ItemState: what is known of an item now; pure functions, each O(1) an event.

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
    """What is known of one item. Dates are seconds since 1970.

    ``demand``: one value a half-life, each purchase counting 0.5^(days ago / half-life) as of ``as_of``, the greatest
    date seen. ``sold``: baskets that ever held it. ``first`` and ``last``: smallest and greatest purchase date.
    ``price`` and ``description`` are those of the newest purchase (ties: the larger), with their dates.
    ``shares``: as demand, at ``SHARE_HALF_LIVES``, but each purchase counting 1 / √k where its invoice has k distinct
    purchased stock codes, so that a large invoice does not outvote many small ones: it counts √k in all, not k.
    ``dated_attributes`` is what purchase lines say of the item beside that, by the rule of ``state.domain.attributes``.
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
        """The item's attributes as they hold now, ordered by key."""
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
    """The state after a delivered purchase line, known before or not; idempotent, and counts no demand."""
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
    """The state after the item counts ``times`` (1, -1 to take a count back, or 0) at a date already observed.

    ``share`` is what its shares gain there: 1 / √k of an invoice of k stock codes, less what was counted of it before.
    """
    elapsed = state.as_of - date
    demand = tuple(
        value + times * _fading(elapsed, half_life) for value, half_life in zip(state.demand, HALF_LIVES, strict=True)
    )
    shares = tuple(
        value + share * _fading(elapsed, half_life)
        for value, half_life in zip(state.shares, SHARE_HALF_LIVES, strict=True)
    )
    return msgspec.structs.replace(state, demand=demand, sold=state.sold + times, shares=shares)


def demand_at(state: ItemState, now: int) -> tuple[float, ...]:
    """Demand at each half-life as of ``now``; a ``now`` before ``as_of`` gives the demand as it stands."""
    return _faded(state.demand, HALF_LIVES, now - state.as_of)


def shares_at(state: ItemState, now: int) -> tuple[float, ...]:
    """Shares at each of ``SHARE_HALF_LIVES`` as of ``now``; a ``now`` before ``as_of`` gives them as they stand."""
    return _faded(state.shares, SHARE_HALF_LIVES, now - state.as_of)


def _faded(values: tuple[float, ...], half_lives: tuple[float, ...], seconds: int) -> tuple[float, ...]:
    elapsed = max(0, seconds)
    return tuple(value * _fading(elapsed, half_life) for value, half_life in zip(values, half_lives, strict=True))


def _fading(seconds: int, half_life: float) -> float:
    """What is left of 1 after some seconds: 0.5^(days / half-life), 0 where that underflows."""
    return float(0.5 ** (seconds / DAY / half_life))
