"""Whether bytes that may be no valid event name a customer."""

import re
from typing import Any

import msgspec

_NAMES = frozenset({"customer_id", "customerid", "customer", "into", "id"})
_read = msgspec.json.Decoder().decode


def mentions(value: bytes | None, customer_id: str) -> bool:
    """Whether an event names a customer.

    In JSON it is a value of ``customer_id``, ``CustomerID``, ``customer``, ``into`` or ``id``, at any depth, as text or
    number. In other bytes it is the id between characters that are no letters or digits, so that what cannot be read
    is rather counted than overlooked.
    """
    if not value:
        return False
    try:
        return _names(_read(value), customer_id)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        escaped = re.escape(customer_id.encode())
        return re.search(rb"(?<![0-9A-Za-z])" + escaped + rb"(?![0-9A-Za-z])", value) is not None


def _names(found: Any, customer_id: str) -> bool:
    if isinstance(found, dict):
        return any(
            (name.lower() in _NAMES and _is(each, customer_id)) or _names(each, customer_id)
            for name, each in found.items()
        )
    return isinstance(found, list) and any(_names(each, customer_id) for each in found)


def _is(value: Any, customer_id: str) -> bool:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text == customer_id or (text.endswith(".0") and text[:-2] == customer_id)
