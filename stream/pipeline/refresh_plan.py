"""When customers are due for a refresh, how far it is, and which recommendations differ: plain functions.

A refresh is not a message that could be lost or come twice. Each partition of ``invoices`` has a record of the target
that its customers were last brought to: the model, the rules, the day. Whoever owns the partition compares it with the
target of now, and walks the customers of the partition where they differ. So a restart, a rebalance or a second worker
that noticed the same promotion change nothing: what is left to do follows from the record.
"""

from collections.abc import Set
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

import msgspec

from state.domain.recommendation import NextPurchase, Recommendation
from state.events.dates import DAY, LAST, to_iso

Cause = Literal["asked", "model", "rules", "daily", "catalogue"]
"""Why customers are refreshed."""

DUE_TOLERANCE_DAYS = 7
"""A due date that moves by more days is sent."""
PROBABILITY_TOLERANCE = 0.05
"""A probability or a chance of a return that moves by more is sent."""
EXPIRY_MARGIN_S = DAY + 3_600
"""What ends before the next daily refresh, with an hour to spare, is renewed or withdrawn now."""


class Target(msgspec.Struct, frozen=True):
    """What the recommendations of a partition should be made with.

    ``model``: name/version. ``rules``: version of the document and the rules in force. ``day``: of the last daily
    refresh, ISO 8601, or "". ``asked``: the last request, which is its time in ISO 8601, or "".
    """

    model: str
    rules: str
    day: str
    asked: str


class Walk(msgspec.Struct):
    """A refresh of one partition in progress.

    ``catalogue``, ``sales``: as in ``Shard``, at its begin. ``partitions``: number of partitions at its begin.
    ``position``: the last customer that is done; they are walked in the order of their ids. ``total`` is 0 until the
    customers were counted. ``mixed``: an earlier one ended before its end, so that customers were brought to different
    targets.
    """

    cause: Cause
    target: Target
    catalogue: dict[int, int]
    partitions: int
    began: float
    mixed: bool = False
    position: str = ""
    total: int = 0
    done: int = 0
    sent: int = 0
    sales: int = 0

    @property
    def is_mixed(self) -> bool:
        """Whether the customers were brought to different targets, if it ends now."""
        return self.mixed or (self.position != "" and self.cause != "catalogue")


class Finished(msgspec.Struct, frozen=True):
    """The last refresh that reached its end."""

    cause: Cause
    ended: float
    customers: int
    sent: int


class Shard(msgspec.Struct):
    """The record of a partition.

    ``reached`` is the target of the last refresh, ``catalogue`` the positions in the topic ``items`` that it covers,
    and ``sales`` the time until which it covers that items go on and off sale.
    """

    reached: Target
    catalogue: dict[int, int]
    walk: Walk | None = None
    finished: Finished | None = None
    sales: int = 0


encode_shard = msgspec.json.Encoder().encode
_decode_shard = msgspec.json.Decoder(Shard).decode


def decode_shard(packed: bytes) -> Shard | None:
    """A stored record; None where it cannot be read."""
    try:
        return _decode_shard(packed)
    except msgspec.DecodeError:
        return None


def cause_of(shard: Shard, target: Target, *, fallback: str, catalogue_changed: bool) -> Cause | None:
    """Why the customers of a partition must be refreshed, None where they need not.

    A worker whose model is the ``fallback`` refreshes nothing that a model has made: it could not load the model yet.
    """
    reached, walk = shard.reached, shard.walk
    if target.model == fallback != reached.model:
        return None
    if target.asked > reached.asked:
        return "asked"
    if target.model != reached.model:
        return "model"
    if target.rules != reached.rules:
        return "rules"
    if target.day > reached.day:
        return "daily"
    if walk is not None and walk.is_mixed:
        return walk.cause
    return "catalogue" if catalogue_changed else None


def may_resume(walk: Walk, target: Target, partitions: int) -> bool:
    """Whether a refresh that another worker began goes on from its position, rather than from the begin."""
    return walk.target == target and walk.partitions == partitions


def last_daily(now: float, at: time | None, zone: tzinfo) -> str:
    """The day of the last daily refresh that was due, ISO 8601; "" where there is none."""
    if at is None:
        return ""
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    day: date = local.date() if local.time() >= at else local.date() - timedelta(days=1)
    return day.isoformat()


def is_touched(last: Recommendation | None, changed: Set[str]) -> bool:
    """Whether a change of some items of the catalogue can change a recommendation: they are in it, or were removed."""
    if last is None:
        return False
    if any(item.stock_code in changed for item in last.items):
        return True
    return last.rules is not None and any(code in changed for action in last.rules.acted for code in action.stock_codes)


def differs(new: Recommendation, last: Recommendation | None, now: int) -> bool:
    """Whether a recommendation is sent in place of the last one.

    It is where the items, their order, names, slots or kinds of reasons differ, where a probability, a chance or a due
    date moved beyond its tolerance, or where the last one is valid for less than ``EXPIRY_MARGIN_S``. It is not where
    only the model, the facts of reasons, or the version of the rules differ.
    """
    return (
        last is None
        or [(one.stock_code, one.description, one.slot, one.reason.code) for one in new.items]
        != [(one.stock_code, one.description, one.slot, one.reason.code) for one in last.items]
        or any(
            abs(one.probability - other.probability) > PROBABILITY_TOLERANCE
            for one, other in zip(new.items, last.items, strict=True)
        )
        or _return_differs(new.next_purchase, last.next_purchase)
        or (
            last.valid_until < to_iso(min(LAST, now + EXPIRY_MARGIN_S)) and new.valid_until[:10] > last.valid_until[:10]
        )
    )


def _return_differs(new: NextPurchase, last: NextPurchase) -> bool:
    return (
        new.within_days.keys() != last.within_days.keys()
        or any(abs(new.within_days[days] - last.within_days[days]) > PROBABILITY_TOLERANCE for days in new.within_days)
        or any(
            _moved(one, other)
            for one, other in zip(
                (new.earliest, new.median, new.latest), (last.earliest, last.median, last.latest), strict=True
            )
        )
    )


def _moved(new: str | None, last: str | None) -> bool:
    if new is None or last is None:
        return new is not last
    return abs((date.fromisoformat(new) - date.fromisoformat(last)).days) > DUE_TOLERANCE_DAYS
