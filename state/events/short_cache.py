"""Caches of what short texts mean. A long text is read each time, so that nobody can fill the memory with long ones."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
Text = TypeVar("Text", str, bytes)


def cache_short(read: Callable[[Text], T], *, entries: int, longest: int) -> Callable[[Text], T]:
    """A function of a text, with a cache of its results for texts of at most ``longest`` characters or bytes.

    So the cache holds at most ``entries`` times ``longest`` characters, whatever the texts; a character has up to four
    bytes. Events are cached before they are known to be valid, and nothing but their bytes bounds a text in them.
    """
    cached = lru_cache(maxsize=entries)(read)

    def look_up(text: Text) -> T:
        return cached(text) if len(text) <= longest else read(text)

    return look_up
