"""API keys: made here, stored as hashes, found by their hash; each has scopes.

A key has 256 random bits, so a plain SHA-256 cannot be searched; a slow hash, as for passwords, would gain nothing.
"""

import hashlib
import logging
import re
import secrets
import stat
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from state.errors import SettingsError
from state.settings import Settings

logger = logging.getLogger(__name__)

PREFIX = "nb_"
"""Begins every key, so that scanners for leaked secrets find it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a key may do. ``admin`` includes the others."""

    READ = "read"
    INGEST = "ingest"
    MERCHANDISE = "merchandise"
    ADMIN = "admin"


class Caller(NamedTuple):
    """Who asks: the name of a key, or the address of a client without one."""

    name: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether the caller has a scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class NewKey(NamedTuple):
    """A new key, and the line to store in its place."""

    key: str
    line: str


def new_key(name: str, scopes: Iterable[Scope]) -> NewKey:
    """Make a key.

    Raises:
        ValueError: The name cannot be used, or there is no scope.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} may have letters, digits, '.', '_' and '-', 64 at most")
    ordered = sorted(set(scopes), key=list(Scope).index)
    if not ordered:
        raise ValueError("a key needs at least one scope")
    key = PREFIX + secrets.token_urlsafe(32)
    return NewKey(key, f"{name} {','.join(ordered)} {hash_of(key)}")


def hash_of(key: str) -> str:
    """SHA-256 of a key in hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


class KeyRing:
    """The keys that are accepted, by their hashes."""

    def __init__(self, callers: dict[str, Caller]) -> None:
        self._callers = callers

    def __len__(self) -> int:
        return len(self._callers)

    def find(self, key: str) -> Caller | None:
        """The caller with a key; None for an unknown one."""
        return self._callers.get(hash_of(key))

    def has(self, caller: Caller) -> bool:
        """Whether the key of a caller, as ``find`` returned it, is still accepted."""
        return any(each is caller for each in self._callers.values())

    def renewed(self, ring: "KeyRing") -> "KeyRing":
        """Another ring, with the callers of this one where key, name and scopes are the same."""
        return KeyRing({key: _same(self._callers.get(key), caller) for key, caller in ring._callers.items()})

    @property
    def names(self) -> list[str]:
        """The names of the keys, sorted."""
        return sorted(caller.name for caller in self._callers.values())


def _same(before: Caller | None, now: Caller) -> Caller:
    return before if before is not None and before == now else now


def load_keys(settings: Settings) -> KeyRing:
    """The keys of the file and of the environment.

    Raises:
        SettingsError: The file cannot be read, or a line is none; the message never contains a key.
    """
    callers = _parse(re.split(r"[;\n]", settings.api_keys.get_secret_value()), "NEXTBASKET_API_KEYS")
    if settings.api_keys_file is not None:
        try:
            lines = settings.api_keys_file.read_text(encoding="utf-8").splitlines()
            if settings.api_keys_file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                logger.warning(
                    "Other users can write to %s and so add API keys; chmod go-w closes it", settings.api_keys_file
                )
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"NEXTBASKET_API_KEYS_FILE cannot be read: {error}") from error
        callers |= _parse(lines, f"The file of NEXTBASKET_API_KEYS_FILE, {settings.api_keys_file},")
    names = [caller.name for caller in callers.values()]
    if len(names) != len(set(names)):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise SettingsError(f"Two API keys have the name {twice[0]}; give each key a different name.")
    return KeyRing(callers)


def _parse(lines: Iterable[str], origin: str) -> dict[str, Caller]:
    callers: dict[str, Caller] = {}
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        scopes = words[1].split(",") if len(words) == 3 else []
        # The words themselves are not shown: somebody may have written a key where its hash belongs.
        if not scopes or not _NAME.fullmatch(words[0]) or not _HASH.fullmatch(words[2]) or not {*scopes} <= {*Scope}:
            raise SettingsError(
                f"{origin} has an entry {number} that is none; it looks like: storefront read,ingest <64 hexadecimal "
                f"digits>, with the scopes {', '.join(Scope)}; nextbasket api-keys new makes one."
            )
        callers[words[2]] = Caller(words[0], frozenset(map(Scope, scopes)))
    return callers
