"""Attributes as state: for each key, the greatest (date, value) wins.

Of all keys the first ``MAX_KEYS`` in alphabetical order are kept, so neither the order nor the repetition of events
matters. ``scripts/attributes.lua`` is the same rule as a Redis script; the contract suite compares the two.
"""

from collections.abc import Mapping

from state.events.attributes import MAX_KEYS, NO_ATTRIBUTES, Attributes

DatedAttributes = Mapping[str, tuple[int, str]]
"""Key to its greatest (date, value), with dates in seconds since 1970, ordered by key; must not be mutated."""

NO_DATED_ATTRIBUTES: dict[str, tuple[int, str]] = {}


def no_dated_attributes() -> DatedAttributes:
    """The shared empty mapping of dated attributes."""
    return NO_DATED_ATTRIBUTES


def merge_attributes(dated: DatedAttributes, attributes: Attributes, date: int) -> DatedAttributes:
    """The dated attributes after an event of ``date`` with ``attributes``; the same object where nothing changes."""
    newer = {
        key: (date, value)
        for key, value in attributes.items()
        if (known := dated.get(key)) is None or known < (date, value)
    }
    if not newer:
        return dated
    merged = {**dated, **newer}
    if len(merged) > len(dated):
        merged = {key: merged[key] for key in sorted(merged)[:MAX_KEYS]}
    return dated if merged == dated else merged


def attribute_values(dated: DatedAttributes) -> Attributes:
    """Key to value, without the dates, ordered by key."""
    return {key: value for key, (_, value) in dated.items()} if dated else NO_ATTRIBUTES
