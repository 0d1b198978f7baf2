"""Signed webhooks, as https://www.standardwebhooks.com specifies them: signature, delivery, retries.

The specification is three headers and one HMAC; its library (``standardwebhooks``) would bring ``httpx`` and more into
the core for that.
"""

import base64
import binascii
import hashlib
import hmac
import http.client
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, NamedTuple

from stream.errors import EndpointGone, EndpointUnavailable, MessageRefused

logger = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"
MIN_SECRET, MAX_SECRET = 24, 64
"""Bytes of a secret, by the specification."""

TIMEOUT_S = 15.0
FIRST_WAIT_S = 1.0
MAX_WAIT_S = 60.0
_GONE = 410
_NOT_OF_THE_MESSAGE = frozenset({401, 403, 404, 405, 407, 408, 421, 425, 429})
"""Statuses below 500 that concern the endpoint, the secret or the moment; every other refuses the message itself."""
REFUSALS = 3
"""After so many attempts in a row that refuse a message itself, it is refused."""


def read_secret(text: str) -> bytes:
    """The key of a secret, which is written in base64, with ``whsec_`` before it or not.

    Raises:
        ValueError: It is no such secret; the message does not contain it.
    """
    try:
        key = base64.b64decode(text.strip().removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("the secret is not base64") from None
    if not MIN_SECRET <= len(key) <= MAX_SECRET:
        raise ValueError(f"the secret has {len(key)} bytes; it needs {MIN_SECRET} to {MAX_SECRET}")
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: HMAC-SHA256 of id, timestamp and body, joined by dots."""
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


class Answer(NamedTuple):
    """The answer of an endpoint: status (None without an answer), a problem in words, and ``Retry-After``."""

    status: int | None
    problem: str
    retry_after: str | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the endpoint has the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether the endpoint refuses the message itself, so that another one may be accepted."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in _NOT_OF_THE_MESSAGE


class WebhookSender:
    """Delivers messages to one endpoint, one after the other, each until it is accepted.

    Args:
        url: Of the endpoint.
        key: As ``read_secret`` gives it.
        give_up_s: How long one message is tried.
        stop: Ends every wait.
        rng: Source of the jitter.
        refusable: Whether a message may be refused; else it is tried as long as while the endpoint is away.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        url: str,
        key: bytes,
        *,
        give_up_s: float,
        stop: threading.Event,
        rng: Random,
        refusable: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._key = key
        self._give_up_s = give_up_s
        self._stop = stop
        self._rng = rng
        self._refusable = refusable
        self._clock = clock
        self._opener = urllib.request.build_opener(_NoRedirects())

    def send(self, message_id: str, body: bytes) -> bool:
        """Deliver a message; False where ``stop`` is set before the endpoint accepted it.

        Every attempt has a new timestamp and the same id. Waits double up to ``MAX_WAIT_S``, less up to a half, and
        are at least as long as a ``Retry-After`` asks for.

        Raises:
            MessageRefused: The last ``REFUSALS`` answers refused the message itself.
            EndpointUnavailable: It was not accepted in time.
            EndpointGone: The endpoint answered 410: it wants no more messages.
        """
        begin, attempt, refusals = time.monotonic(), 0, 0
        while not self._stop.is_set():
            attempt += 1
            answer = self._post(message_id, body)
            if answer.is_accepted:
                return True
            if answer.status == _GONE:
                raise EndpointGone(f"The endpoint answered 410 Gone to {message_id}: it wants no more messages.")
            refusals = refusals + 1 if answer.is_refused else 0
            if self._refusable and refusals >= REFUSALS:
                raise MessageRefused(f"The endpoint refuses {message_id} ({answer.problem}).")
            wait = max(self._backoff(attempt), _seconds(answer.retry_after, self._clock()))
            if time.monotonic() + wait - begin > self._give_up_s:
                raise EndpointUnavailable(
                    f"The endpoint did not accept {message_id} within {self._give_up_s:.0f} s ({answer.problem}). "
                    "Start again once it does: delivery continues with this message."
                )
            logger.warning(
                "Attempt %d to deliver %s failed (%s); next in %.1f s", attempt, message_id, answer.problem, wait
            )
            self._stop.wait(wait)
        return False

    def _backoff(self, attempt: int) -> float:
        longest: float = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt - 1, 32))
        return longest * self._rng.uniform(0.5, 1.0)

    def _post(self, message_id: str, body: bytes) -> Answer:
        timestamp = int(self._clock())
        headers = {
            "content-type": "application/json",
            "user-agent": "nextbasket-webhook",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._key, message_id, timestamp, body),
        }
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                return Answer(response.status, f"HTTP {response.status}")
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, f"HTTP {error.code}", error.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            return Answer(None, str(reason) or type(error).__name__)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET, which the endpoint would answer without having the message."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _seconds(retry_after: str | None, now: float) -> float:
    """Seconds of a ``Retry-After`` header, which is a number or a date; 0 where it is neither."""
    if retry_after is None:
        return 0.0
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return 0.0
