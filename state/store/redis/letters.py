"""Dead letters that are set aside in Redis while the dead-letter topic cannot take them."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from state.settings import Settings
from state.store.redis.client import connect, translate_errors
from state.store.redis.layout import Keys

MAX_LETTERS = 1_000
"""Greatest number of letters that are set aside; after that the workers wait for the topic."""


class RedisLetters:
    """A hash from the position of an event (topic, partition, offset) to its letter, packed; may be used by any thread.

    Raises, from every method:
        StoreUnavailable, StoreRefused: Redis does not answer, or refuses.
    """

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings)
        self._key = Keys(settings.key_prefix).letters

    def put(self, letters: Mapping[str, bytes]) -> bool:
        """Set letters aside, each position once; returns whether it did: not where there would be too many."""
        with translate_errors(client=self._client):
            if self._client.hlen(self._key) + len(letters) > MAX_LETTERS:
                return False
            fields: Any = dict(letters)
            self._client.hset(self._key, mapping=fields)
        return True

    def first(self, count: int) -> dict[str, bytes]:
        """Up to ``count`` letters that are set aside, by position, in no particular order."""
        with translate_errors(client=self._client):
            found = islice(self._client.hscan_iter(self._key, count=count), count)
            return {position.decode(): letter for position, letter in found}

    def drop(self, positions: Sequence[str]) -> None:
        """Delete letters that the topic has taken."""
        with translate_errors(client=self._client):
            self._client.hdel(self._key, *positions)

    def count(self) -> int:
        """The number of letters that are set aside."""
        with translate_errors(client=self._client):
            return int(self._client.hlen(self._key))

    def close(self) -> None:
        """Disconnect."""
        self._client.close()
