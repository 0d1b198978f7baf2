"""ItemState: what is known of an item now; pure functions, each O(1) an event.

Two kinds of change. ``count``: an invoice holds the item (once an invoice, however many lines and deliveries); the
demand at several half-lives is kept decayed to ``touched``. ``observe``: a purchase line was delivered, which only ever
raises a greatest or lowers a smallest value. Both commute, so any order ends in the same state but for float rounding.
``scripts/items.lua`` does the same in Redis; a parity test holds the two together.
"""

import msgspec

from state.dates import DAY

HALF_LIVES = (1.0, 3.0, 7.0, 14.0, 21.0, 30.0)
"""Half-lives of demand, in days."""


class ItemState(msgspec.Struct, frozen=True):
    """What is known of one item. Dates are seconds since 1970.

    ``demand``: one value a half-life, each purchase counting 0.5^(days ago / half-life) as of ``touched``, the greatest
    date seen. ``sold``: baskets that ever held it. ``first`` and ``last``: smallest and greatest purchase date.
    ``price`` and ``description`` are those of the newest purchase (ties: the larger), with their dates.
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


def sell(
    state: ItemState | None, stock_code: str, date: int, price: float, description: str | None = None
) -> ItemState:
    """The state after one more basket with the item: ``observe``, then ``count``."""
    return count(observe(state, stock_code, date, price, description), date, 1)


def observe(
    state: ItemState | None, stock_code: str, date: int, price: float, description: str | None = None
) -> ItemState:
    """The state after a delivered purchase line, known before or not; idempotent, and counts no demand."""
    if state is None:
        zero = (0.0,) * len(HALF_LIVES)
        return ItemState(
            stock_code, date, zero, 0, date, date, price, date, description, 0 if description is None else date
        )
    if (date, price) > (state.price_date, state.price):
        state = msgspec.structs.replace(state, price=price, price_date=date)
    if description is not None and (
        state.description is None or (date, description) > (state.description_date, state.description)
    ):
        state = msgspec.structs.replace(state, description=description, description_date=date)
    if date < state.first:
        state = msgspec.structs.replace(state, first=date)
    if date > state.last:
        state = msgspec.structs.replace(state, last=date, touched=date, demand=demand_at(state, date))
    return state


def count(state: ItemState, date: int, times: int) -> ItemState:
    """The state after the item counts ``times`` (1, or -1 to take a count back) at a date already observed."""
    demand = tuple(
        value + times * _fading(state.touched - date, half_life)
        for value, half_life in zip(state.demand, HALF_LIVES, strict=True)
    )
    return msgspec.structs.replace(state, demand=demand, sold=state.sold + times)


def demand_at(state: ItemState, now: int) -> tuple[float, ...]:
    """Demand at each half-life as of ``now``; a ``now`` before ``touched`` gives the demand as it stands."""
    elapsed = max(0, now - state.touched)
    return tuple(value * _fading(elapsed, half_life) for value, half_life in zip(state.demand, HALF_LIVES, strict=True))


def _fading(seconds: int, half_life: float) -> float:
    """What is left of 1 after some seconds: 0.5^(days / half-life), 0 where that underflows."""
    return float(0.5 ** (seconds / DAY / half_life))
