"""ItemState: what is known of an item now; pure functions, each O(1) an event.

Two kinds of change. ``count``: an invoice holds the item (once an invoice, however many lines and deliveries); demand
and shares at several half-lives are kept decayed to ``touched``. ``observe``: a purchase line was delivered, which only
ever raises a greatest or lowers a smallest value. Both commute, so any order ends in the same state but for float
rounding.
``scripts/items.lua`` does the same in Redis; a parity test holds the two together.
"""

import msgspec

from state.domain.attributes import Dated, merge, none_dated, values
from state.events.attributes import NONE, Attributes
from state.events.dates import DAY

HALF_LIVES = (1.0, 3.0, 7.0, 14.0, 21.0, 30.0)
"""Half-lives of demand, in days."""

SHARE_HALF_LIVES = (3.0, 7.0, 30.0)
"""Half-lives of shares, in days."""


class ItemState(msgspec.Struct, frozen=True):
    """What is known of one item. Dates are seconds since 1970.

    ``demand``: one value a half-life, each purchase counting 0.5^(days ago / half-life) as of ``touched``, the greatest
    date seen. ``sold``: baskets that ever held it. ``first`` and ``last``: smallest and greatest purchase date.
    ``price`` and ``description`` are those of the newest purchase (ties: the larger), with their dates.
    ``shares``: as demand, at ``SHARE_HALF_LIVES``, but each purchase counting 1 / √k where its invoice has k distinct
    purchased stock codes, so that a large invoice does not outvote many small ones: it counts √k in all, not k.
    ``dated`` is what purchase lines say of the item beside that, by the rule of ``state.domain.attributes``.
    """

    stock_code: str
    touched: int
    demand: tuple[float, ...]
    sold: int
    first: int
    last: int
    price: float
    price_date: int
    description: str | None = None
    description_date: int = 0
    shares: tuple[float, ...] = (0.0,) * len(SHARE_HALF_LIVES)
    dated: Dated = msgspec.field(default_factory=none_dated)

    @property
    def attributes(self) -> Attributes:
        """The item's attributes as they hold now, ordered by key."""
        return values(self.dated)


def sell(
    state: ItemState | None,
    stock_code: str,
    date: int,
    price: float,
    description: str | None = None,
    share: float = 1.0,
    attributes: Attributes = NONE,
) -> ItemState:
    """The state after one more basket with the item: ``observe``, then ``count``; a basket of it alone has share 1."""
    return count(observe(state, stock_code, date, price, description, attributes), date, 1, share)


def observe(
    state: ItemState | None,
    stock_code: str,
    date: int,
    price: float,
    description: str | None = None,
    attributes: Attributes = NONE,
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
    if attributes and (dated := merge(state.dated, attributes, date)) is not state.dated:
        state = msgspec.structs.replace(state, dated=dated)
    if date < state.first:
        state = msgspec.structs.replace(state, first=date)
    if date > state.last:
        state = msgspec.structs.replace(
            state, last=date, touched=date, demand=demand_at(state, date), shares=shares_at(state, date)
        )
    return state


def count(state: ItemState, date: int, times: int, share: float) -> ItemState:
    """The state after the item counts ``times`` (1, -1 to take a count back, or 0) at a date already observed.

    ``share`` is what its shares gain there: 1 / √k of an invoice of k stock codes, less what was counted of it before.
    """
    elapsed = state.touched - date
    demand = tuple(
        value + times * _fading(elapsed, half_life) for value, half_life in zip(state.demand, HALF_LIVES, strict=True)
    )
    shares = tuple(
        value + share * _fading(elapsed, half_life)
        for value, half_life in zip(state.shares, SHARE_HALF_LIVES, strict=True)
    )
    return msgspec.structs.replace(state, demand=demand, sold=state.sold + times, shares=shares)


def demand_at(state: ItemState, now: int) -> tuple[float, ...]:
    """Demand at each half-life as of ``now``; a ``now`` before ``touched`` gives the demand as it stands."""
    return _faded(state.demand, HALF_LIVES, now - state.touched)


def shares_at(state: ItemState, now: int) -> tuple[float, ...]:
    """Shares at each of ``SHARE_HALF_LIVES`` as of ``now``; a ``now`` before ``touched`` gives them as they stand."""
    return _faded(state.shares, SHARE_HALF_LIVES, now - state.touched)


def _faded(values: tuple[float, ...], half_lives: tuple[float, ...], seconds: int) -> tuple[float, ...]:
    elapsed = max(0, seconds)
    return tuple(value * _fading(elapsed, half_life) for value, half_life in zip(values, half_lives, strict=True))


def _fading(seconds: int, half_life: float) -> float:
    """What is left of 1 after some seconds: 0.5^(days / half-life), 0 where that underflows."""
    return float(0.5 ** (seconds / DAY / half_life))
