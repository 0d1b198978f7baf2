"""The lists of merged and erased customers: the protocol of their store, and the one in memory.

The topic of customers has both lists too, so a store that lost them gets them back from there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from state.domain.identities import MIN_KEY_CHARS, Erasure, Identities, Pseudonyms
from state.errors import SettingsError
from state.settings import Settings

KEY_DIFFERS = (
    "The list of erased customers was made with {} erasure key: set NEXTBASKET_ERASURE_KEY or "
    "NEXTBASKET_ERASURE_KEY_FILE as for the command that erased them (docs/how-to/erase-a-customer.md)."
)


class IdentityStore(Protocol):
    """Holds aliases and erasures; every reader and every change sees all earlier changes.

    Raises, from every method:
        StoreUnavailable, StoreRefused: The store does not answer, refuses, or has a list made with another key.
    """

    def lookup(self, customer_ids: Sequence[str]) -> Identities | None:
        """What concerns some customers; None where the store lost its lists, which ``restore`` gives back."""
        ...

    def all(self) -> Identities | None:
        """Both lists; None where the store lost them."""
        ...

    def restore(self, identities: Identities) -> None:
        """Add both lists; what the store has stays."""
        ...

    def alias(self, source: str, target: str) -> bool:
        """Record an alias in one step, unless ``source`` has one or the chain of ``target`` leads to it."""
        ...

    def erase(self, erasures: Mapping[str, Erasure], aliases: Iterable[str]) -> None:
        """List erasures, by pseudonym, in place of earlier ones, and drop aliases."""
        ...


class MemoryIdentities:
    """Implements ``IdentityStore`` for tests, simulations and runs without Redis."""

    def __init__(self, pseudonyms: Pseudonyms | None = None) -> None:
        self._pseudonyms = pseudonyms
        self._aliases: dict[str, str] = {}
        self._erasures: dict[str, Erasure] = {}

    def lookup(self, customer_ids: Sequence[str]) -> Identities | None:
        """See ``IdentityStore.lookup``."""
        return self.all()

    def all(self) -> Identities | None:
        """See ``IdentityStore.all``."""
        return Identities(dict(self._aliases), dict(self._erasures), self._pseudonyms)

    def restore(self, identities: Identities) -> None:
        """See ``IdentityStore.restore``."""
        self._aliases = {**identities.aliases, **self._aliases}
        self._erasures = {**identities.erasures, **self._erasures}

    def alias(self, source: str, target: str) -> bool:
        """See ``IdentityStore.alias``."""
        if source in self._aliases or Identities(self._aliases).current(target) == source:
            return False
        self._aliases[source] = target
        return True

    def erase(self, erasures: Mapping[str, Erasure], aliases: Iterable[str]) -> None:
        """See ``IdentityStore.erase``."""
        self._erasures.update(erasures)
        for alias in aliases:
            self._aliases.pop(alias, None)


def load_pseudonyms(settings: Settings) -> Pseudonyms | None:
    """The pseudonyms of the erasure key, None where no key is set.

    Raises:
        SettingsError: The file cannot be read, both settings are set, or the key is too short.
    """
    key = settings.erasure_key.get_secret_value()
    if settings.erasure_key_file is not None:
        if key:
            raise SettingsError("Set NEXTBASKET_ERASURE_KEY or NEXTBASKET_ERASURE_KEY_FILE, not both.")
        try:
            key = settings.erasure_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"The file of NEXTBASKET_ERASURE_KEY_FILE, {settings.erasure_key_file}, cannot be read: {error}."
            ) from error
    elif not key:
        return None
    if len(key) < MIN_KEY_CHARS:
        raise SettingsError(
            f"The erasure key has {len(key)} characters and needs at least {MIN_KEY_CHARS}; "
            "openssl rand -hex 32 makes one."
        )
    return Pseudonyms(key)


class IdentityRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a record of the topic of customers: where a merged customer is, or when one was erased.

    ``receipt``: what the erasure found and removed, once it is done.
    """

    into: str | None = None
    erased: int | None = None
    returned: int | None = None
    receipt: msgspec.Raw | None = None


ALIAS_PREFIX = "merged:"
ERASURE_PREFIX = "erased:"
_read_record = msgspec.json.Decoder(IdentityRecord).decode
write_record = msgspec.json.Encoder().encode


class IdentityLog:
    """Collects both lists from the records of the topic of customers, in order."""

    def __init__(self, pseudonyms: Pseudonyms | None) -> None:
        self._pseudonyms = pseudonyms
        self._aliases: dict[str, str] = {}
        self._erasures: dict[str, Erasure] = {}

    @property
    def identities(self) -> Identities:
        """Both lists as of the records so far."""
        return Identities(self._aliases, self._erasures, self._pseudonyms)

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """Take over a record; a null value deletes an entry. A record that cannot be read is an error.

        Raises:
            ValueError: It cannot be read.
        """
        name = (key or b"").decode()
        record = _read_record(value) if value else None
        if name.startswith(ALIAS_PREFIX):
            alias = name.removeprefix(ALIAS_PREFIX)
            self._aliases.pop(alias, None)
            if record is not None and record.into is not None:
                self._aliases[alias] = record.into
        elif name.startswith(ERASURE_PREFIX):
            pseudonym = name.removeprefix(ERASURE_PREFIX)
            self._erasures.pop(pseudonym, None)
            if record is not None and record.erased is not None:
                self._erasures[pseudonym] = Erasure(record.erased, record.returned)


def require_key(identities: Identities) -> None:
    """Make sure that whoever reads a list of erased customers can tell whether a customer is on it.

    Raises:
        SettingsError: No erasure key is set.
    """
    if identities.erasures and identities.pseudonyms is None:
        raise SettingsError(KEY_DIFFERS.format("an"))
