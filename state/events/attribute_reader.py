"""Attributes as events carry them, read without ever refusing an event, and once for each text that comes again.

On the wire they are left as raw JSON: an event without any costs nothing, and whatever is odd in one is passed over
value by value.
"""

from contextlib import suppress
from functools import lru_cache

import msgspec

from state.events.attributes import COUNTRY, NO_ATTRIBUTES, Attributes, clean_attributes, combine_attributes

ABSENT = msgspec.Raw()
"""What stands in a shape for a field that the event does not have."""

_LONGEST_KEPT = 4_096
"""Bytes of attributes that are remembered as read: those of a customer or an item come again and again."""


class _Customer(msgspec.Struct):
    """What an event says of its customer beside the id."""

    attributes: msgspec.Raw = ABSENT


_read_customer = msgspec.json.Decoder(_Customer).decode
_read_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_value = msgspec.json.Decoder(str | bool | int | float).decode


class AttributeReader:
    """Reads attributes; what it gives is shared between events, and this not between threads."""

    def __init__(self, *, longest_country: int) -> None:
        """Remember nothing yet; a country of more characters than ``longest_country`` is none."""
        self._longest_country = longest_country
        self._country = lru_cache(maxsize=1_024)(self._read_country)
        self._known = lru_cache(maxsize=16_384)(read)

    def of_customer(self, country: object, customer: msgspec.Raw, attributes: msgspec.Raw) -> Attributes:
        """The attributes of a customer that the fields of an event say.

        Of a key that several of them say, ``country`` counts before ``customer``, and that before ``attributes``.
        """
        said = self._country(country) if isinstance(country, str) and len(country) <= _LONGEST_KEPT else NO_ATTRIBUTES
        if customer is not ABSENT:
            with suppress(msgspec.ValidationError):  # no object says nothing
                said = combine_attributes(self.of_item(_read_customer(customer).attributes), said)
        return said if attributes is ABSENT else combine_attributes(self.of_item(attributes), said)

    def of_item(self, raw: msgspec.Raw) -> Attributes:
        """The attributes that a field says, none where it is not there or no object."""
        if raw is ABSENT:
            return NO_ATTRIBUTES
        json = bytes(raw)
        return self._known(json) if len(json) <= _LONGEST_KEPT else read(json)

    def _read_country(self, written: str) -> Attributes:
        text = written.strip()
        return clean_attributes([(COUNTRY, text)]) if len(text) <= self._longest_country else NO_ATTRIBUTES


def read(json: bytes) -> Attributes:
    """The attributes that a JSON text says, none where it is no object."""
    try:
        members = _read_members(json)
    except msgspec.ValidationError:
        return NO_ATTRIBUTES
    return clean_attributes((key, _value(member)) for key, member in members.items())


def _value(member: msgspec.Raw) -> object:
    try:
        return _read_value(member)
    except msgspec.ValidationError:  # null, a list, an object, or a number that no double holds
        return None
