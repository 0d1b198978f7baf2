"""Kafka headers of published events: CloudEvents in binary mode, and the trace of the event that caused them.

The headers follow the Kafka protocol binding of CloudEvents 1.0.2 and W3C Trace Context, level 1; the value and the key
of a message are the same with and without them. The SDK of CloudEvents (``cloudevents``) would wrap every message in an
object to write these seven headers.
"""

import hashlib
import re
from collections.abc import Iterable
from secrets import token_hex

from stream.messages import Headers, IncomingHeaders

RECOMMENDATION = "io.github.nextbasket.recommendation.v1"
SCORE = "io.github.nextbasket.recommendation-score.v1"
DUE_CUSTOMER = "io.github.nextbasket.due-customer.v1"

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

MAX_TRACESTATE_BYTES = 512
"""A longer ``tracestate`` is dropped: the specification requires that at least this length is passed on."""
MAX_TRACESTATE_MEMBERS = 32

_SPECVERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")

# CloudEvents forbids control characters and Unicode's noncharacters in its strings.
_NO_STRING = re.compile(
    "[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_KEY = rb"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER = re.compile(rb"(" + _KEY + rb")=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


def event_source(namespace: str) -> str:
    """``ce_source``: the program and its namespace, the same whichever process publishes."""
    return f"/nextbasket/{namespace}" if namespace else "/nextbasket"


def event_headers(kind: str, event_id: str, *, source: str, time: str, customer_id: str) -> Headers:
    """The attributes of a CloudEvent about a customer.

    Args:
        kind: ``ce_type``: what is published.
        event_id: The same for an event that is published twice, and different for any other of its ``source``.
        source: See ``event_source``.
        time: ISO 8601 in UTC.
        customer_id: ``ce_subject``; left out where CloudEvents does not allow its characters.
    """
    headers = (
        _SPECVERSION,
        ("ce_id", event_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", kind.encode()),
        ("ce_time", time.encode()),
        _CONTENT_TYPE,
    )
    if not customer_id or _NO_STRING.search(customer_id):
        return headers
    return (*headers, ("ce_subject", customer_id.encode()))


def score_event_id(rec_id: str, invoice_no: str, revision: int) -> str:
    """The id of the event of a score, which has none in its body; one that is published twice has the same id."""
    return hashlib.blake2b(f"{rec_id}\0{invoice_no}\0{revision}".encode(), digest_size=12).hexdigest()


def trace_headers(headers: IncomingHeaders) -> Headers:
    """The trace context of a consumed record, to be passed on: ``traceparent``, and ``tracestate`` where it has one.

    Empty where there is no ``traceparent``, or more than one, or it is malformed. A malformed or long ``tracestate`` is
    dropped alone. Of a ``traceparent`` of a later version the fields of version 00 are passed on, as the specification
    asks.
    """
    if not headers:
        return ()
    parents = [value for name, value in headers if name == TRACEPARENT]
    parent = _parent(parents[0]) if len(parents) == 1 else None
    if parent is None:
        return ()
    state = _state(value for name, value in headers if name == TRACESTATE)
    return ((TRACEPARENT, parent),) if state is None else ((TRACEPARENT, parent), (TRACESTATE, state))


def request_trace(headers: IncomingHeaders) -> Headers:
    """The trace context of a request, for the records it leads to; a new one where its ``traceparent`` is malformed.

    Empty where it has none. A new one is marked as sampled, so that whoever records traces decides.
    """
    if not any(name == TRACEPARENT for name, _ in headers):
        return ()
    return trace_headers(headers) or ((TRACEPARENT, f"00-{token_hex(16)}-{token_hex(8)}-01".encode()),)


def is_readable(name: str) -> bool:
    """Whether the name of a header is UTF-8 in Kafka; other bytes are surrogates here."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parent(value: bytes | None) -> bytes | None:
    found = _TRACEPARENT.fullmatch(value or b"")
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == b"ff" or trace_id == b"0" * 32 or parent_id == b"0" * 16:
        return None
    if version == b"00":
        return None if more else value
    return b"00-%b-%b-%02x" % (trace_id, parent_id, int(flags, 16) & 1)


def _state(values: Iterable[bytes | None]) -> bytes | None:
    """The members of all ``tracestate`` headers in order, None where there are none or one is malformed."""
    combined = b",".join(value or b"" for value in values)
    if len(combined) > MAX_TRACESTATE_BYTES:
        return None
    members = [member for part in combined.split(b",") if (member := part.strip(b" \t"))]
    keys = [found and found[1] for found in map(_MEMBER.fullmatch, members)]
    if not keys or len(keys) > MAX_TRACESTATE_MEMBERS or None in keys or len(set(keys)) < len(keys):
        return None
    return b",".join(members)
