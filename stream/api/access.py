"""Who may ask what, and how often: keys, scopes and rate limits as dependencies of FastAPI."""

import ipaddress
import math
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from state.errors import SettingsError
from stream.api.keys import Caller, KeyRing, Scope
from stream.api.problems import Problem, invalid_request

LOOPBACK_NAMES = ("localhost",)
FAILED_LOGINS = parse("20/second")
"""Requests with a wrong key, of one address; a key cannot be guessed, but hashing costs time."""

NO_RATE = "none"
EVERY_SCOPE = frozenset(Scope)


def is_loopback(host: str) -> bool:
    """Whether an address, or ``localhost``, is reached from this machine only."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(host: str, keys: KeyRing) -> None:
    """Check that an address may be served with these keys.

    Raises:
        SettingsError: It is not the loopback interface, and there is no key.
    """
    if not len(keys) and not is_loopback(host):
        raise SettingsError(
            f"There is no API key, and {host} can be reached from other machines. Make a key with nextbasket api-keys "
            "new and set NEXTBASKET_API_KEYS_FILE or NEXTBASKET_API_KEYS, or serve --host 127.0.0.1."
        )


def parse_rate(rate: str) -> RateLimitItem | None:
    """A rate such as ``100/second``; None where there is no limit.

    Raises:
        SettingsError: It is none.
    """
    if rate == NO_RATE:
        return None
    try:
        return parse(rate)
    except ValueError:
        raise SettingsError(
            f"NEXTBASKET_API_RATE is {rate!r}; it looks like 100/second or 5000/minute, or is {NO_RATE}."
        ) from None


class Access:
    """Finds the caller of a request and counts requests. Without keys every caller has every scope.

    Args:
        keys: Those that are accepted; may be replaced at any time.
        rate: Requests of one caller; None for no limit. Each process counts by itself.
    """

    def __init__(self, keys: KeyRing, rate: RateLimitItem | None) -> None:
        self.keys = keys
        self._rate = rate
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def admit(self, request: Request, scope: Scope) -> Caller:
        """The caller, if they may use a scope now.

        Raises:
            Problem: 401 without a known key, 403 without the scope, 429 for too many requests.
        """
        return self.permit(self._caller(request), scope)

    def permit(self, caller: Caller, scope: Scope, requests: int = 1) -> Caller:
        """A caller who is known, if they may use a scope now; counts a request, or as many as it stands for.

        Raises:
            Problem: 403 without the scope, 429 for too many requests, 400 where it stands for more than the rate allows
                at any time.
        """
        if self._rate is not None and requests > self._rate.amount:
            raise invalid_request(
                f"It counts as {requests} more requests, and {caller.name} may send {self._rate}; ask for fewer."
            )
        if self._rate is not None and requests and not self._limiter.hit(self._rate, caller.name, cost=requests):
            raise self._too_many(self._rate, caller.name)
        if not caller.may(scope):
            raise Problem(
                403,
                "missing-scope",
                "The key lacks a scope",
                f"The key {caller.name} lacks the scope {scope}; nextbasket api-keys new --scope {scope} makes one.",
            )
        return caller

    def _caller(self, request: Request) -> Caller:
        return self.identify(_key_of(request), client_address(request))

    def identify(self, key: str | None, address: str) -> Caller:
        """Who has a key; without keys at all, the caller at an address.

        Raises:
            Problem: 401 without a known key, 429 after too many wrong ones.
        """
        if not len(self.keys):
            return Caller(f"address {address}", EVERY_SCOPE)
        caller = self.keys.find(key) if key else None
        if caller is not None:
            return caller
        if not self._limiter.hit(FAILED_LOGINS, f"refused {address}"):
            raise self._too_many(FAILED_LOGINS, f"refused {address}")
        raise Problem(
            401,
            "unknown-key",
            "A key is needed",
            "The key is not known." if key else "Send a key: Authorization: Bearer nb_…, or X-API-Key: nb_…",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _too_many(self, rate: RateLimitItem, name: str) -> Problem:
        seconds = max(1, math.ceil(self._limiter.get_window_stats(rate, name).reset_time - time.time()))
        return Problem(
            429,
            "too-many-requests",
            "Too many requests",
            f"{name} may send {rate}; ask again after that time.",
            headers={"Retry-After": str(seconds)},
        )


def client_address(request: Request) -> str:
    """The address that a request comes from."""
    return request.client.host if request.client else "unknown"


def _key_of(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return request.headers.get("x-api-key")


def _requires(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    async def admit(request: Request) -> Caller:
        access: Access = request.app.state.services.access
        return access.admit(request, scope)

    return admit


Reader = Annotated[Caller, Depends(_requires(Scope.READ))]
Ingester = Annotated[Caller, Depends(_requires(Scope.INGEST))]
Merchandiser = Annotated[Caller, Depends(_requires(Scope.MERCHANDISE))]
Administrator = Annotated[Caller, Depends(_requires(Scope.ADMIN))]
