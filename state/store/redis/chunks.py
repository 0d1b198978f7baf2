"""Parts of bounded number and size, one for each call of a script."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

MAX_PART_BYTES = 1_000_000
"""Of the values that one call writes, where there are several calls."""

T = TypeVar("T")


def chunks(entries: Iterable[T], size: Callable[[T], int], *, most: int, most_bytes: int) -> Iterator[list[T]]:
    """Entries in lists of at most ``most``, which end before they exceed ``most_bytes``; a larger one is alone."""
    chunk: list[T] = []
    total = 0
    for entry in entries:
        its_size = size(entry)
        if chunk and (len(chunk) == most or total + its_size > most_bytes):
            yield chunk
            chunk, total = [], 0
        chunk.append(entry)
        total += its_size
    if chunk:
        yield chunk
