"""Item events of the topic ``items``: the bytes of an item of the catalogue ↔ ``CatalogueItem``, or what is wrong.

Each event is the whole item. The key of the record is the stock code, so that the compacted topic holds the newest
event of each item; a record without a value deletes the item (docs/reference/events.md).
"""

import re
from collections.abc import Sequence
from datetime import UTC, tzinfo
from functools import lru_cache, partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from state.errors import InvalidEvent
from state.events.attribute_reader import ABSENT, AttributeReader
from state.events.attributes import Attributes, no_attributes
from state.events.control_characters import has_control
from state.events.dates import parse_date, to_iso
from state.events.dialect import dialect_named
from state.events.missing import is_missing
from state.events.numbers import to_decimal
from state.events.text import clean_text
from state.settings import Settings

ITEM_EVENT_TYPE = "item"
ITEM_EVENT_VERSION = 1

MAX_CATEGORY_LEVELS = 20
MAX_ADDRESS_CHARS = 2_048
"""Bound of the addresses of a page and of an image."""

CATEGORY_SEPARATOR = ">"
"""Separates the levels of a category that is written as one text, as in product feeds: ``Kitchen > Mugs``."""

_ADDRESS = re.compile(r"https?://[^\s/]\S*", re.IGNORECASE)


class CatalogueItem(msgspec.Struct, frozen=True, gc=False):
    """One item of the catalogue. Dates are seconds since 1970.

    ``category`` is the path from the top. ``stock`` is None where it is unknown; the item is out of stock at 0 and
    below. It is on sale from ``on_sale_from`` (included) until ``on_sale_until`` (not included), where they are given.
    ``invalid`` is the reason why the newest event of the item cannot be taken; such an item is not recommended.
    """

    stock_code: str
    name: str | None = None
    category: tuple[str, ...] = ()
    price: float | None = None
    stock: float | None = None
    image: str | None = None
    url: str | None = None
    on_sale_from: int | None = None
    on_sale_until: int | None = None
    blocked: bool = False
    attributes: Attributes = msgspec.field(default_factory=no_attributes)
    updated: int | None = None
    invalid: str | None = None


class _Event(msgspec.Struct):
    """The shape of an event. msgspec finds wrong types, ``CatalogueDecoder`` the bounds."""

    stock_code: int | str | None = None
    name: str | None = None
    category: list[str] | str | None = None
    price: float | None = None
    stock: float | None = None
    image: str | None = None
    url: str | None = None
    on_sale_from: str | None = None
    on_sale_until: str | None = None
    blocked: bool | None = None
    attributes: msgspec.Raw = ABSENT
    updated: str | None = None
    type: str | None = None
    version: int | float | None = None


class CatalogueDecoder:
    """Decodes item events under one set of settings; not shared between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dialect = dialect_named(settings.dialect)
        zone: tzinfo = UTC if settings.timezone == "UTC" else ZoneInfo(settings.timezone)
        self._date = partial(parse_date, zone=zone)
        self._attributes = AttributeReader(longest_country=settings.max_code_chars)
        self._decode = msgspec.json.Decoder(_Event).decode
        self._known_path = lru_cache(maxsize=16_384)(self._read_path)  # few paths, which many items share
        self._rules = _rules(settings)

    def decode(self, raw: bytes | None, key: bytes | None = None) -> CatalogueItem:
        """The item of an event.

        Args:
            raw: The value of the record.
            key: The key of the record, which must be the stock code; None where there is no record yet.

        Raises:
            InvalidEvent: The event breaks the contract; the message is the reason for the dead letter, one sentence.
        """
        if not raw:
            raise InvalidEvent("The event is empty; it must be one JSON object in UTF-8.")
        if len(raw) > self._settings.max_event_bytes:
            raise InvalidEvent(
                f"The event has {len(raw):,} bytes; it may have at most {self._settings.max_event_bytes:,}."
            )
        try:
            raw.decode()  # msgspec ignores invalid UTF-8 in fields that it does not know
            item = self._item(self._decode(raw))
        except UnicodeDecodeError:
            raise InvalidEvent("The event is not UTF-8; it must be one JSON object in UTF-8.") from None
        except RecursionError:
            raise InvalidEvent("The event is nested too deeply; an item needs two levels.") from None
        except msgspec.ValidationError as error:
            raise self._of_wrong_type(str(error)) from None
        except msgspec.DecodeError as error:
            raise InvalidEvent(f"The event is not JSON ({error}); it must be one JSON object in UTF-8.") from None
        if key is not None and self.stock_code_of(key) != item.stock_code:
            raise InvalidEvent(f"The key of the record is not the stock code {item.stock_code!r}; it must be.")
        return item

    def stock_code_of(self, key: bytes | None) -> str | None:
        """The stock code that the key of a record names, None where it names none."""
        try:
            text = (key or b"").decode().strip()
        except UnicodeDecodeError:
            return None
        if is_missing(text) or len(text) > self._settings.max_code_chars or has_control(text):
            return None
        return self._dialect.stock_code(text)

    def _item(self, event: _Event) -> CatalogueItem:
        settings = self._settings
        if event.type is not None and event.type != ITEM_EVENT_TYPE:
            raise self._wrong("type")
        if event.version is not None and event.version != ITEM_EVENT_VERSION:
            raise self._wrong("version")
        code = "" if event.stock_code is None else str(event.stock_code).strip()
        if is_missing(code) or len(code) > settings.max_code_chars or has_control(code):
            raise self._wrong("stock_code", missing=event.stock_code is None)
        if event.name is not None and len(event.name) > settings.max_description_chars:
            raise self._wrong("name")
        if event.price is not None and not 0 <= event.price <= settings.max_number:
            raise self._wrong("price")
        if event.stock is not None and not -settings.max_number <= event.stock <= settings.max_number:
            raise self._wrong("stock")
        on_sale_from, on_sale_until = self._day(event, "on_sale_from"), self._day(event, "on_sale_until")
        if on_sale_from is not None and on_sale_until is not None and on_sale_until <= on_sale_from:
            raise InvalidEvent("on_sale_until cannot be taken; it must be after on_sale_from.", "on_sale_until")
        return CatalogueItem(
            stock_code=self._dialect.stock_code(code),
            name=(clean_text(event.name) or None) if event.name else None,
            category=self._category(event.category),
            price=None if event.price is None else to_decimal(event.price),
            stock=None if event.stock is None else to_decimal(event.stock),
            image=self._address(event, "image"),
            url=self._address(event, "url"),
            on_sale_from=on_sale_from,
            on_sale_until=on_sale_until,
            blocked=bool(event.blocked),
            attributes=self._attributes.of_item(event.attributes),
            updated=self._day(event, "updated"),
        )

    def _category(self, value: list[str] | str | None) -> tuple[str, ...]:
        return self._known_path(tuple(value) if isinstance(value, list) else value)

    def _read_path(self, value: tuple[str, ...] | str | None) -> tuple[str, ...]:
        path = category_path(value)
        if len(path) > MAX_CATEGORY_LEVELS or any(len(one) > self._settings.max_code_chars for one in path):
            raise self._wrong("category")
        return path

    def _address(self, event: _Event, name: str) -> str | None:
        value: str = (getattr(event, name) or "").strip()
        if not value:
            return None
        if len(value) > MAX_ADDRESS_CHARS or not _ADDRESS.fullmatch(value) or has_control(value):
            raise self._wrong(name)
        return value

    def _day(self, event: _Event, name: str) -> int | None:
        """A date with a time, or a day, which is its first second; None where it is left out or blank."""
        value: str = (getattr(event, name) or "").strip()
        if not value:
            return None
        date = self._date(f"{value} 00:00" if len(value) == len("2011-12-09") else value)
        if date is None:
            raise self._wrong(name)
        return date

    def _wrong(self, name: str, *, missing: bool = False) -> InvalidEvent:
        problem = "is missing" if missing else "cannot be taken"
        return InvalidEvent(f"{name} {problem}; it must be {self._rules.get(name, 'left out')}.", name)

    def _of_wrong_type(self, error: str) -> InvalidEvent:
        """The reason in an error of msgspec ("Expected `str`, got `int` - at `$.name`")."""
        _, found, path = error.partition(" - at `$.")
        if not found:
            return InvalidEvent("The event is no JSON object; it must be one JSON object in UTF-8.")
        return self._wrong(path.rstrip("`").partition("[")[0])


def category_path(value: Sequence[str] | None) -> tuple[str, ...]:
    """The levels of a category, from the top, from a list or from one text with ``>`` between them; no blank ones."""
    parts = value.split(CATEGORY_SEPARATOR) if isinstance(value, str) else value or ()
    return tuple(text for part in parts if (text := clean_text(part)))


def encode_item(item: CatalogueItem) -> bytes:
    """The item as an event, which decodes to the same item; what is not known is left out."""
    content: dict[str, Any] = {"type": ITEM_EVENT_TYPE, "version": ITEM_EVENT_VERSION}
    for name, value in msgspec.structs.asdict(item).items():
        if value is None or value == () or value == {} or value is False or name == "invalid":
            continue
        content[name] = to_iso(value) if name in ("on_sale_from", "on_sale_until", "updated") else value
    return msgspec.json.encode(content)


def _rules(settings: Settings) -> dict[str, str]:
    """The valid values of each field in words."""
    date = "a date such as 2011-12-09 or 2011-12-09T12:50:00Z, or null"
    address = (
        f"an address that begins with http:// or https://, of up to {MAX_ADDRESS_CHARS:,} characters, no control "
        "characters, or null"
    )
    return {
        "stock_code": f"a string of 1 to {settings.max_code_chars:,} characters, no control characters, or an integer",
        "name": f"a string of up to {settings.max_description_chars:,} characters or null",
        "category": f"a list of up to {MAX_CATEGORY_LEVELS} strings, or one string with > between them, of up to "
        f"{settings.max_code_chars:,} characters each",
        "price": f"a number from 0 to {settings.max_number:,}, or null",
        "stock": f"a number within ±{settings.max_number:,}, or null where it is not known",
        "image": address,
        "url": address,
        "on_sale_from": date,
        "on_sale_until": date,
        "updated": date,
        "blocked": "true, false or null",
        "type": f'"{ITEM_EVENT_TYPE}", or be left out',
        "version": f"{ITEM_EVENT_VERSION}, or be left out",
    }


def item_event_schema(settings: Settings) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of an item event under the bounds of the settings.

    Only the decoder checks dates, that the sale ends after it begins, the levels of a category in one text, and that
    the key of the record is the stock code.
    """
    rules = _rules(settings)
    date = {"type": ["string", "null"], "examples": ["2011-12-09T12:50:00Z", "2011-12-09"]}
    address = {
        "type": ["string", "null"],
        "maxLength": MAX_ADDRESS_CHARS,
        "pattern": r"^\s*([hH][tT][tT][pP][sS]?://|$)",
    }
    level = {"type": "string", "maxLength": settings.max_code_chars}
    properties: dict[str, dict[str, Any]] = {
        "stock_code": {
            "oneOf": [
                {"type": "string", "minLength": 1, "maxLength": settings.max_code_chars, "pattern": r"\S"},
                {"type": "integer"},
            ]
        },
        "name": {"type": ["string", "null"], "maxLength": settings.max_description_chars},
        "category": {
            "oneOf": [{"type": "array", "maxItems": MAX_CATEGORY_LEVELS, "items": level}, {"type": ["string", "null"]}],
            "examples": [["Kitchen", "Mugs"], "Kitchen > Mugs"],
        },
        "price": {"type": ["number", "null"], "minimum": 0, "maximum": settings.max_number},
        "stock": {"type": ["number", "null"], "minimum": -settings.max_number, "maximum": settings.max_number},
        "image": address,
        "url": address,
        "on_sale_from": date,
        "on_sale_until": date,
        "blocked": {"type": ["boolean", "null"]},
        "attributes": {"description": "Text, numbers and booleans by key, as in invoices; other values are ignored."},
        "updated": date,
        "type": {"enum": [ITEM_EVENT_TYPE, None]},
        "version": {"enum": [ITEM_EVENT_VERSION, None]},
    }
    for name, words in rules.items():
        properties[name] = {"description": f"{words[:1].upper()}{words[1:]}.", **properties[name]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Item event, version 1",
        "type": "object",
        "required": ["stock_code"],
        "properties": properties,
    }
