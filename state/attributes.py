"""Attributes: what events say of customers and items beside the purchases, and the rule by which it becomes state.

By key the value of the greatest (date, value) holds, and of all keys the first ``MOST_KEYS`` by the alphabet: neither
depends on the order or the repetition of events. ``scripts/attributes.lua`` does to attributes in Redis what ``merge``
does here; the contract suite holds the two together.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

from state.text import mended

Attributes = Mapping[str, str]
"""Key to value, as an event says them or as they hold now; not to be changed, since many share one."""

Dated = Mapping[str, tuple[int, str]]
"""Key to the greatest (date, value), dates in seconds since 1970, ordered by key; not to be changed either."""

COUNTRY = "country"
"""The key of the country that an invoice names."""

MOST_KEYS = 32
LONGEST_KEY = 64
LONGEST_VALUE = 256
"""Characters of a key and of a value; what is longer is passed over."""

NONE: dict[str, str] = {}
NONE_DATED: dict[str, tuple[int, str]] = {}


def no_attributes() -> Attributes:
    """The one empty mapping, so that what has no attributes costs no memory for them."""
    return NONE


def none_dated() -> Dated:
    """The same, of dated ones."""
    return NONE_DATED


def merge(dated: Dated, attributes: Attributes, date: int) -> Dated:
    """What holds once an event of a date has said ``attributes``; ``dated`` itself where that changes nothing."""
    newer = {
        key: (date, value)
        for key, value in attributes.items()
        if (known := dated.get(key)) is None or known < (date, value)
    }
    if not newer:
        return dated
    merged = {**dated, **newer}
    if len(merged) > len(dated):
        merged = {key: merged[key] for key in sorted(merged)[:MOST_KEYS]}
    return dated if merged == dated else merged


def values(dated: Dated) -> Attributes:
    """Key to value as they hold, ordered by key."""
    return {key: value for key, (_, value) in dated.items()} if dated else NONE


def bounded(said: Iterable[tuple[str, object]]) -> Attributes:
    """Attributes as they are taken, of what is said: the rest is passed over, for no extra field is ever an error.

    Text is mended as everywhere, numbers become text in one way (``12``, ``12.0`` and ``"12"`` are one value), so do
    ``true`` and ``false``. What is empty, too long or anything else says nothing.
    """
    taken: dict[str, str] = {}
    for name, value in said:
        key, text = mended(name), _text(value)
        if 0 < len(key) <= LONGEST_KEY and 0 < len(text) <= LONGEST_VALUE:
            taken[key] = text
    return {key: taken[key] for key in sorted(taken)[:MOST_KEYS]} if taken else NONE


def together(one: Attributes, other: Attributes) -> Attributes:
    """The attributes of both, within the bounds; of one key in both, the value of ``other``."""
    if not (one and other):
        return one or other
    both = {**one, **other}
    return {key: both[key] for key in sorted(both)[:MOST_KEYS]}


def _text(value: object) -> str:
    """A value as text, empty where it has none."""
    match value:
        case str():
            return mended(value)
        case bool():
            return "true" if value else "false"
        case int() | float() if math.isfinite(value):
            # A whole number below 2 ** 53 is one value, with a point or without; above, a double is rounded anyhow.
            whole = isinstance(value, int) or (value.is_integer() and abs(value) < 2**53)
            return str(int(value)) if whole else msgspec.json.encode(value).decode()
    return ""
