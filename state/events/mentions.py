"""Which customers bytes name that may be no valid event, such as those of a dead letter."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

_NAMES = frozenset({"customer_id", "customerid", "customer", "into"})
_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")
_read = msgspec.json.Decoder().decode


def customers_in(value: bytes | None, key: bytes | None = None) -> set[str]:
    """The ids of customers in an event.

    In JSON they are the values of ``customer_id``, ``CustomerID``, ``customer`` and ``into``. They are found at
    any depth, as text or number. ``key`` is that of the record, which is an id too.
    """
    found = {key.decode("utf-8", "replace")} if key else set()
    with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        found |= {_canonical(each) for each in _named(_read(value or b"null"))}
    return found - {""}


def mentions(value: bytes | None, customer_id: str) -> bool:
    """Whether an event names a customer; in bytes that are no JSON, whether the id is there as a word of its own."""
    if not value:
        return False
    try:
        _read(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        escaped = re.escape(customer_id.encode())
        return re.search(rb"(?<![0-9A-Za-z])" + escaped + rb"(?![0-9A-Za-z])", value) is not None
    return customer_id in customers_in(value)


def _named(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        for name, each in found.items():
            if name.lower() in _NAMES and isinstance(each, str | int | float) and not isinstance(each, bool):
                yield str(each)
            yield from _named(each)
    elif isinstance(found, list):
        for each in found:
            yield from _named(each)


def _canonical(written: str) -> str:
    text = written.strip()
    match = _WHOLE_NUMBER.fullmatch(text)
    return match[1] if match else text
