"""Attributes of customers and items as events carry them: text under text keys, within bounds.

How they become state is ``state.domain.attributes``.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

from state.events.text import clean_text

Attributes = Mapping[str, str]
"""Key to value; not to be changed, since many objects share one."""

COUNTRY = "country"
"""The key of the country that an invoice names."""

MOST_KEYS = 32
LONGEST_KEY = 64
LONGEST_VALUE = 256
"""Characters of a key and of a value; longer ones are ignored."""

NO_ATTRIBUTES: dict[str, str] = {}


def no_attributes() -> Attributes:
    """The one empty mapping, so that an object without attributes costs no memory for them."""
    return NO_ATTRIBUTES


def clean_attributes(said: Iterable[tuple[str, object]]) -> Attributes:
    """Attributes as they are taken, of what is said: the rest is passed over, for no extra field is ever an error.

    Text is mended as everywhere, numbers become text in one way (``12``, ``12.0`` and ``"12"`` are one value), so do
    ``true`` and ``false``. What is empty, too long or anything else says nothing.
    """
    taken: dict[str, str] = {}
    for name, value in said:
        key, text = clean_text(name), _text(value)
        if 0 < len(key) <= LONGEST_KEY and 0 < len(text) <= LONGEST_VALUE:
            taken[key] = text
    return {key: taken[key] for key in sorted(taken)[:MOST_KEYS]} if taken else NO_ATTRIBUTES


def combine_attributes(one: Attributes, other: Attributes) -> Attributes:
    """The attributes of both, within the bounds; of one key in both, the value of ``other``."""
    if not (one and other):
        return one or other
    both = {**one, **other}
    return {key: both[key] for key in sorted(both)[:MOST_KEYS]}


def _text(value: object) -> str:
    """A value as text, empty where it has none."""
    match value:
        case str():
            return clean_text(value)
        case bool():
            return "true" if value else "false"
        case int() | float() if math.isfinite(value):
            # A whole number below 2 ** 53 is one value, with a point or without; above, a double is rounded anyhow.
            whole = isinstance(value, int) or (value.is_integer() and abs(value) < 2**53)
            return str(int(value)) if whole else msgspec.json.encode(value).decode()
    return ""
