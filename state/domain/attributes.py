"""Attributes as state: by key, the value of the greatest (date, value) holds.

Of all keys the first ``MOST_KEYS`` in alphabetical order are kept, so neither the order nor the repetition of events
matters. ``scripts/attributes.lua`` does the same in Redis as ``merge`` does here; the contract suite compares the two.
"""

from collections.abc import Mapping

from state.events.attributes import MOST_KEYS, NONE, Attributes

Dated = Mapping[str, tuple[int, str]]
"""Key to the greatest (date, value), dates in seconds since 1970, ordered by key; not to be changed."""

NONE_DATED: dict[str, tuple[int, str]] = {}


def none_dated() -> Dated:
    """The one empty mapping of dated attributes."""
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
