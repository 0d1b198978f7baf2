"""The lists of merged and erased customers in Redis: one hash, so that one command reads what concerns a batch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from state.domain.identities import Erasure, Identities, Pseudonyms
from state.errors import StoreRefused
from state.settings import Settings
from state.store.identities import KEY_DIFFERS, load_pseudonyms
from state.store.redis.client import connect, translate_errors
from state.store.redis.layout import Keys
from state.store.redis.script import Script

_COMPLETE = b"complete"
"""Set once both lists were restored; it is missing after Redis lost its data."""
_KEY = b"key"
"""The fingerprint of the erasure key of the list."""
_ALIAS = b"m:"
_ERASURE = b"e:"

_FIELDS_PER_CALL = 2_000
"""Fields and values that a call of a script adds."""

_read_erasure = msgspec.json.Decoder(Erasure).decode
_write_erasure = msgspec.json.Encoder().encode


def read_aliases(client: Any, keys: Keys, customer_ids: Sequence[str]) -> dict[str, str]:
    """The aliases of some customers, along their chains; more than one call only where there are some."""
    aliases: dict[str, str] = {}
    unread = list(dict.fromkeys(customer_ids))
    while unread:
        with translate_errors(client=client):
            targets = client.hmget(keys.customers, [_ALIAS + each.encode() for each in unread])
            found = {each: target.decode() for each, target in zip(unread, targets, strict=True) if target is not None}
        aliases |= found
        unread = [target for target in dict.fromkeys(found.values()) if target not in aliases]
    return aliases


class RedisIdentities:
    """Implements ``IdentityStore``; not to be shared between threads.

    Raises:
        SettingsError: No URL of Redis is set or it cannot be parsed, or the erasure key cannot be used.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        self._pseudonyms: Pseudonyms | None = load_pseudonyms(settings)
        self._client: Any = connect(settings) if client is None else client
        self._key = Keys(settings.key_prefix).customers
        self._add_alias = Script("alias")
        self._add_fields = Script("add_fields")

    def lookup(self, customer_ids: Sequence[str]) -> Identities | None:
        """See ``IdentityStore.lookup``; more than one call only where aliases have to be followed."""
        aliases: dict[str, str] = {}
        erasures: dict[str, Erasure] = {}
        unread = list(dict.fromkeys(customer_ids))
        complete = False
        while unread or not complete:
            fields = self._fields(unread)
            with translate_errors(client=self._client):
                values = self._client.hmget(self._key, [_COMPLETE, _KEY, *fields])
            if values[0] is None:
                return None
            complete = True
            self._require_key(values[1])
            found = {field: value for field, value in zip(fields, values[2:], strict=True) if value is not None}
            unread = []
            with translate_errors():
                for field, value in found.items():
                    if field.startswith(_ALIAS):
                        target = value.decode()
                        aliases[field[len(_ALIAS) :].decode()] = target
                        if target not in aliases:
                            unread.append(target)
                    else:
                        erasures[field[len(_ERASURE) :].decode()] = _read_erasure(value)
        return Identities(aliases, erasures, self._pseudonyms)

    def all(self) -> Identities | None:
        """See ``IdentityStore.all``."""
        aliases: dict[str, str] = {}
        erasures: dict[str, Erasure] = {}
        with translate_errors(client=self._client):
            complete, fingerprint = self._client.hmget(self._key, [_COMPLETE, _KEY])
            if complete is None:
                return None
            self._require_key(fingerprint)
            for field, value in self._client.hscan_iter(self._key, count=1_000):
                if field.startswith(_ALIAS):
                    aliases[field[len(_ALIAS) :].decode()] = value.decode()
                elif field.startswith(_ERASURE):
                    erasures[field[len(_ERASURE) :].decode()] = _read_erasure(value)
        return Identities(aliases, erasures, self._pseudonyms)

    def restore(self, identities: Identities) -> None:
        """See ``IdentityStore.restore``."""
        fields = [each for old, new in identities.aliases.items() for each in (_ALIAS + old.encode(), new.encode())]
        for pseudonym, erasure in identities.erasures.items():
            fields += [_ERASURE + pseudonym.encode(), _write_erasure(erasure)]
        key = [] if self._pseudonyms is None else [_KEY, self._pseudonyms.fingerprint.encode()]
        with translate_errors(client=self._client):
            if key:
                self._add_fields(self._client, [self._key], *key)
            self._require_key(self._client.hget(self._key, _KEY))
            for start in range(0, len(fields), _FIELDS_PER_CALL):
                self._add_fields(self._client, [self._key], *fields[start : start + _FIELDS_PER_CALL])
            self._client.hset(self._key, _COMPLETE, b"1")

    def alias(self, source: str, target: str) -> bool:
        """See ``IdentityStore.alias``."""
        with translate_errors(client=self._client):
            return bool(self._add_alias(self._client, [self._key], source.encode(), target.encode()))

    def erase(self, erasures: Mapping[str, Erasure], aliases: Iterable[str]) -> None:
        """See ``IdentityStore.erase``."""
        dropped = [_ALIAS + alias.encode() for alias in aliases]
        with translate_errors(client=self._client), self._client.pipeline() as pipeline:
            for pseudonym, erasure in erasures.items():
                pipeline.hset(self._key, _ERASURE + pseudonym.encode(), _write_erasure(erasure))
            if dropped:
                pipeline.hdel(self._key, *dropped)
            pipeline.execute()

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    def _fields(self, customer_ids: Sequence[str]) -> list[bytes]:
        fields = [_ALIAS + customer_id.encode() for customer_id in customer_ids]
        if self._pseudonyms is not None:
            fields += [_ERASURE + self._pseudonyms.of(customer_id).encode() for customer_id in customer_ids]
        return fields

    def _require_key(self, fingerprint: bytes | None) -> None:
        if fingerprint is None:
            return
        if self._pseudonyms is None:
            raise StoreRefused(KEY_DIFFERS.format("an"))
        if fingerprint != self._pseudonyms.fingerprint.encode():
            raise StoreRefused(KEY_DIFFERS.format("another"))
