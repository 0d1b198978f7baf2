"""Entity tags of recommendations: they change with all that a list depends on, and no earlier."""

import hashlib
from typing import NamedTuple

import msgspec

from stream.api.visits import VisitQuery

CACHE_CONTROL = "private, no-cache"
"""A cache asks again each time; the entity tag makes that cheap."""


class Versions(NamedTuple):
    """What a list was made from, except the customer's history.

    ``model`` and ``merchandising`` are versions. ``age`` is the clock divided by the greatest age of an answer: demand
    and days move on although nothing else changes.
    """

    model: str
    merchandising: str
    age: int


def etag(query: VisitQuery, revision: int, versions: Versions) -> str:
    """The weak entity tag of the answer to a query; ``revision`` is that of the history."""
    # Bytes may differ in ``generated_at``, hence weak.
    return opaque_tag(query, revision, *versions)


def opaque_tag(*content: object) -> str:
    """The weak entity tag of an answer that depends on some values."""
    return f'W/"{hashlib.blake2b(msgspec.json.encode(content, order="sorted"), digest_size=12).hexdigest()}"'


def matches(header: str | None, tag: str) -> bool:
    """Whether a header ``If-None-Match`` has the tag, by weak comparison."""
    if header is None:
        return False
    opaque = tag.removeprefix("W/")
    return any(each.strip().removeprefix("W/") in (opaque, "*") for each in header.split(","))
