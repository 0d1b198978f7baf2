"""Events about a customer as such: two that turned out to be one person, and one who is to be erased."""

from collections.abc import Callable

import msgspec

from state.errors import InvalidEvent

VERSION = 1
MARK = b'"customer.'
"""Every event about a customer has these bytes, and hardly any invoice does."""

CUSTOMER_RULE = "the id of a customer: a string of 1 to {} characters, no control characters, or a number"


class CustomerErased(msgspec.Struct, frozen=True, tag_field="type", tag="customer.erased"):
    """The order to erase a customer."""

    customer_id: str
    version: int = VERSION


class CustomerMerged(msgspec.Struct, frozen=True, tag_field="type", tag="customer.merged"):
    """That a customer is the same person as another one: the purchases of both count for ``into``."""

    customer_id: str
    into: str
    version: int = VERSION


CustomerChange = CustomerErased | CustomerMerged


class _Type(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()


class _Change(msgspec.Struct):
    type: str
    customer_id: int | float | str | None = None
    into: int | float | str | None = None
    version: int | float | None = None


_TYPES = {b'"customer.erased"': CustomerErased, b'"customer.merged"': CustomerMerged}
_read_type = msgspec.json.Decoder(_Type).decode
_read_change = msgspec.json.Decoder(_Change).decode
encode_change = msgspec.json.Encoder().encode


def decode_change(
    raw: bytes, customer: Callable[[int | float | str | None], str | None], rule: str
) -> CustomerChange | None:
    """The change that an event contains, None for an event of another type.

    Args:
        raw: The bytes of an event of bounded size.
        customer: Makes a customer's id canonical; None for an anonymous one.
        rule: The valid ids in words.

    Raises:
        InvalidEvent: It is of such a type and breaks the contract.
    """
    try:
        kind = _TYPES.get(bytes(_read_type(raw).type))
        if kind is None:
            return None
        event = _read_change(raw)
    except RecursionError:
        return None
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`") or None
        if field is None:
            return None
        raise InvalidEvent(f"{field} cannot be taken ({text}).", field) from None
    except msgspec.DecodeError:
        return None

    def read(name: str, value: int | float | str | None) -> str:
        found = customer(value)
        if found is None:
            raise InvalidEvent(
                f"{name} {'is missing' if value is None else 'cannot be taken'}; it must be {rule}.", name
            )
        return found

    if event.version is not None and event.version != VERSION:
        raise InvalidEvent(f"version cannot be taken; it must be {VERSION}, or be left out.", "version")
    customer_id = read("customer_id", event.customer_id)
    if kind is CustomerErased:
        return CustomerErased(customer_id)
    into = read("into", event.into)
    if into == customer_id:
        raise InvalidEvent("into cannot be taken; it must be another customer than customer_id.", "into")
    return CustomerMerged(customer_id, into)
