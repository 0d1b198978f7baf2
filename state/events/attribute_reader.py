"""Reads the attributes of an event; invalid values are ignored, and repeated texts are read from a cache.

The decoder leaves attributes as raw JSON, so an event without attributes costs nothing.
"""

from contextlib import suppress

import msgspec

from state.events.attributes import COUNTRY, NO_ATTRIBUTES, Attributes, clean_attributes, combine_attributes
from state.events.short_cache import cache_short

ABSENT = msgspec.Raw()
"""The value of a field that the event does not have."""


class _Customer(msgspec.Struct):
    """The ``customer`` object of an event."""

    attributes: msgspec.Raw = ABSENT


_read_customer = msgspec.json.Decoder(_Customer).decode
_read_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_value = msgspec.json.Decoder(str | bool | int | float).decode


class AttributeReader:
    """Reads attributes. The returned mappings are shared between events; a reader is not shared between threads."""

    def __init__(self, *, longest_country: int) -> None:
        """A country of more than ``longest_country`` characters is ignored."""
        self._longest_country = longest_country
        # Those of a customer or an item are repeated in many events.
        self._country = cache_short(self._read_country, entries=1_024, longest=64)
        self._known = cache_short(read, entries=2_048, longest=1_024)

    def of_customer(self, country: object, customer: msgspec.Raw, attributes: msgspec.Raw) -> Attributes:
        """The attributes of the customer from the fields of an event.

        Of equal keys, that of ``country`` wins over that of ``customer``, and this over that of ``attributes``.
        """
        found = self._country(country) if isinstance(country, str) else NO_ATTRIBUTES
        if customer is not ABSENT:
            with suppress(msgspec.ValidationError):  # not an object
                found = combine_attributes(self.of_item(_read_customer(customer).attributes), found)
        return found if attributes is ABSENT else combine_attributes(self.of_item(attributes), found)

    def of_item(self, raw: msgspec.Raw) -> Attributes:
        """The attributes in a field; none where it is absent or not an object."""
        if raw is ABSENT:
            return NO_ATTRIBUTES
        return self._known(bytes(raw))

    def _read_country(self, written: str) -> Attributes:
        text = written.strip()
        return clean_attributes([(COUNTRY, text)]) if len(text) <= self._longest_country else NO_ATTRIBUTES


def read(json: bytes) -> Attributes:
    """The attributes in a JSON text; none where it is not an object."""
    try:
        members = _read_members(json)
    except msgspec.ValidationError:
        return NO_ATTRIBUTES
    return clean_attributes((key, _value(member)) for key, member in members.items())


def _value(member: msgspec.Raw) -> object:
    try:
        return _read_value(member)
    except msgspec.ValidationError:  # null, a list, an object, or a number beyond a double
        return None
