"""Attributes of customers and items in events: a bounded mapping of text to text.

``state.domain.attributes`` merges them into state.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

from state.events.text import clean_text

Attributes = Mapping[str, str]
"""Key to value; must not be mutated, because many objects share one mapping."""

COUNTRY = "country"
"""The key of the country of an invoice."""

MAX_KEYS = 32
MAX_KEY_CHARS = 64
MAX_VALUE_CHARS = 256
"""Bounds of a key and of a value in characters; longer ones are ignored."""

NO_ATTRIBUTES: dict[str, str] = {}


def no_attributes() -> Attributes:
    """The shared empty mapping: an object without attributes needs no memory for them."""
    return NO_ATTRIBUTES


def clean_attributes(members: Iterable[tuple[str, object]]) -> Attributes:
    """The valid attributes among the members of an object; the others are ignored, an extra field is never an error.

    Text is cleaned by ``clean_text``. Numbers become text in one form (``12``, ``12.0`` and ``"12"`` are one value), so
    do ``true`` and ``false``. Empty values, too long ones and those of other types are ignored.
    """
    valid: dict[str, str] = {}
    for name, value in members:
        key, text = clean_text(name), _text(value)
        if 0 < len(key) <= MAX_KEY_CHARS and 0 < len(text) <= MAX_VALUE_CHARS:
            valid[key] = text
    return {key: valid[key] for key in sorted(valid)[:MAX_KEYS]} if valid else NO_ATTRIBUTES


def combine_attributes(one: Attributes, other: Attributes) -> Attributes:
    """The attributes of both, within the bounds; ``other`` wins where both have a key."""
    if not (one and other):
        return one or other
    both = {**one, **other}
    return {key: both[key] for key in sorted(both)[:MAX_KEYS]}


def _text(value: object) -> str:
    """A value as text; empty where it is of another type."""
    match value:
        case str():
            return clean_text(value)
        case bool():
            return "true" if value else "false"
        case int() | float() if math.isfinite(value):
            # Below 2 ** 53 a whole number is the same with or without a decimal point; above, a double is rounded.
            whole = isinstance(value, int) or (value.is_integer() and abs(value) < 2**53)
            return str(int(value)) if whole else msgspec.json.encode(value).decode()
    return ""
