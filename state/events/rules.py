"""Rules of merchandising: one typed, versioned document, the value of the topic ``rules``, and its validation.

A rule has a kind, a unique name, and optionally a time span and a customer segment in which it is in force.
``state.domain.rules`` applies them; docs/how-to/set-rules.md describes each kind.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from state.errors import InvalidEvent
from state.events.catalogue import category_path
from state.events.control_characters import has_control
from state.events.struct_schema import struct_schema

RULES_KEY = b"rules"
"""The key of the record that holds the document."""

MAX_RULES = 1_000
MAX_DOCUMENT_BYTES = 1_000_000
MAX_LEVELS = 5
"""Bound of the filters within each other, by ``unless``."""
MAX_LIST = 10_000
"""Bound of a list of stock codes, categories, customers or values within one rule."""

Text = Annotated[str, Meta(min_length=1, max_length=256)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=MAX_LIST)]
Category = Annotated[tuple[Text, ...], Meta(min_length=1, max_length=20)] | Text
Position = Annotated[int, Meta(ge=1, le=100)]
Date = Annotated[datetime, Meta(tz=True)]
Slot = Literal["replenish", "discover"]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Base of the parts of the document: unknown fields are refused, defaults are left out of the JSON."""


class ItemFilter(_Part, frozen=True, kw_only=True):
    """Which items a rule is about: those that match every condition that is given; all items where none is.

    ``stock_codes``: one of these. ``categories``: in or below one of these, each a path from the top as a list or as
    one text (``Kitchen > Mugs``). ``attributes``: for every key one of its values. ``unless``: items that match it are
    not meant. Categories and attributes are those of the catalogue.
    """

    stock_codes: Texts = ()
    categories: Annotated[tuple[Category, ...], Meta(max_length=MAX_LIST)] = ()
    attributes: dict[Text, Texts] = {}
    unless: "ItemFilter | None" = None

    @property
    def is_empty(self) -> bool:
        """Whether it has no condition, so that every item matches."""
        return not (self.stock_codes or self.categories or self.attributes or self.unless)


class CustomerFilter(_Part, frozen=True, kw_only=True):
    """A customer segment: those that match every condition that is given.

    ``customer_ids``: one of these. ``attributes``: for every key one of its values, as the customer's invoices gave
    them. ``unless``: customers who match it are not meant.
    """

    customer_ids: Texts = ()
    attributes: dict[Text, Texts] = {}
    unless: "CustomerFilter | None" = None


class _Rule(_Part, tag_field="kind", frozen=True, kw_only=True):
    """What every rule has: a unique name, a switch, a time span [``from``, ``until``) and a customer segment."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\S")]
    enabled: bool = True
    starts: Date | None = msgspec.field(default=None, name="from")
    until: Date | None = None
    customers: CustomerFilter | None = None


class _ItemRule(_Rule, frozen=True, kw_only=True):
    """A rule about some items; all items where ``items`` is left out."""

    items: ItemFilter | None = None


class Exclude(_ItemRule, tag="exclude", frozen=True, kw_only=True):
    """The items are not recommended."""


class Cooldown(_ItemRule, tag="cooldown", frozen=True, kw_only=True):
    """Items that the customer has bought are not recommended for ``days`` days after the last purchase.

    With ``until_due`` an item that was bought at least twice is not recommended until the customer's median gap between
    two purchases of it has passed; ``days`` then is for items that were bought once.
    """

    days: Annotated[int, Meta(ge=1, le=3_650)] | None = None
    until_due: bool = False


class Only(_ItemRule, tag="only", frozen=True, kw_only=True):
    """Of the items, only those that the customer has bought before (``replenish``), or never (``discover``)."""

    slot: Slot


class LeastProbability(_ItemRule, tag="least_probability", frozen=True, kw_only=True):
    """The items are recommended only where their probability is at least ``probability``."""

    probability: Annotated[float, Meta(gt=0, le=1)]


class Pin(_Rule, tag="pin", frozen=True, kw_only=True):
    """The items are at ``position`` and the positions after it, in this order, whatever their probability."""

    stock_codes: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=100)]
    position: Position = 1


class _Grouped(_ItemRule, frozen=True, kw_only=True):
    """A rule that counts items by category at a level (1: the top), or by an attribute.

    An item without that level or attribute is in no group: a cap does not count it, and it adds no variety.
    """

    category_level: Annotated[int, Meta(ge=1, le=20)] = 1
    attribute: Text | None = None


class Cap(_Grouped, tag="cap", frozen=True, kw_only=True):
    """A list has at most ``most`` of the items from each group."""

    most: Annotated[int, Meta(ge=1, le=100)]


class Variety(_Grouped, tag="variety", frozen=True, kw_only=True):
    """A list has items from at least ``least`` groups."""

    least: Annotated[int, Meta(ge=2, le=100)]


class Boost(_ItemRule, tag="boost", frozen=True, kw_only=True):
    """The items are ordered as if their probability were ``factor`` times as high; below 1 buries them."""

    factor: Annotated[float, Meta(gt=0, le=1_000)]


class Promote(_ItemRule, tag="promote", frozen=True, kw_only=True):
    """At least this share of a list are the items.

    With ``slot`` only those of them that the customer has bought before (``replenish``), or never (``discover``).
    """

    share: Annotated[float, Meta(gt=0, le=1)]
    slot: Slot | None = None


Rule = Exclude | Cooldown | Only | LeastProbability | Pin | Cap | Variety | Boost | Promote

KINDS = ("exclude", "cooldown", "only", "least_probability", "pin", "cap", "variety", "boost", "promote")


class Rules(_Part, frozen=True, kw_only=True):
    """The document. Of two documents the one with the higher version is the newer one."""

    version: Annotated[int, Meta(ge=0, le=2**53)] = 0
    rules: Annotated[tuple[Rule, ...], Meta(max_length=MAX_RULES)] = ()


_decode = msgspec.json.Decoder(Rules).decode


def decode_rules(raw: bytes | None) -> Rules:
    """The document of a record or a file; that without rules where there is no value.

    Raises:
        InvalidEvent: It is no document of rules; the message names the field and what it may be.
    """
    if raw is None:
        return Rules()
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise InvalidEvent(f"The rules have {len(raw):,} bytes; they may have at most {MAX_DOCUMENT_BYTES:,}.")
    try:
        rules = _decode(raw)
    except msgspec.ValidationError as error:
        raise _of_wrong_type(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"The rules are not JSON ({error}); they must be one JSON object in UTF-8.") from None
    for field, problem in _problems(rules):
        raise InvalidEvent(f"{field} {problem}", field)
    return rules


def encode_rules(rules: Rules) -> bytes:
    """The document as JSON; what is left at its default is left out."""
    return msgspec.json.encode(rules)


def rules_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the document.

    Only ``decode_rules`` checks that names are unique and have no control characters, that a time span ends after it
    begins, and that a rule is about something.
    """
    return struct_schema(Rules, "Rules, version 1")


def _problems(rules: Rules) -> Iterator[tuple[str, str]]:
    """What the types do not show: a field, and what is wrong with it."""
    names: set[str] = set()
    for index, rule in enumerate(rules.rules):
        where = f"rules[{index}]"
        items = None if isinstance(rule, Pin) else rule.items
        if rule.name in names:
            yield f"{where}.name", f"{rule.name!r} is the name of an earlier rule; names must differ."
        names.add(rule.name)
        if has_control(rule.name):
            yield f"{where}.name", f"{rule.name!r} cannot be taken; it must have no control characters."
        if rule.starts is not None and rule.until is not None and rule.until <= rule.starts:
            yield f"{where}.until", "cannot be taken; it must be after from."
        if isinstance(rule, Cooldown) and rule.days is None and not rule.until_due:
            yield f"{where}.days", "is missing; it must be 1 to 3,650, unless until_due is true."
        for name, found in (("items", items), ("customers", rule.customers)):
            if _levels(found) > MAX_LEVELS:
                yield f"{where}.{name}.unless", f"is nested too deeply; it may be so {MAX_LEVELS} times at most."
                return
        if any(not category_path(path) for path in _categories(items)):
            yield f"{where}.items.categories", "has an empty path; each must name a category."
        if _lacks_items(rule):
            conditions = "stock_codes, categories, attributes or unless"
            or_slot = ", or slot be discover or replenish" if isinstance(rule, Promote) else ""
            yield f"{where}.items", f"is missing; it must name {conditions}{or_slot}."


def _lacks_items(rule: Rule) -> bool:
    """Whether a rule is about all items that may not be."""
    match rule:
        case Exclude():
            may_be_all = bool(rule.customers)
        case Promote():
            may_be_all = rule.slot is not None
        case _:
            may_be_all = not isinstance(rule, Boost)
    return not may_be_all and (isinstance(rule, Pin) or rule.items is None or rule.items.is_empty)


def _levels(found: ItemFilter | CustomerFilter | None) -> int:
    """How often ``unless`` is nested, and one."""
    levels = 0
    while found is not None:
        found, levels = found.unless, levels + 1
    return levels


def _categories(items: ItemFilter | None) -> Iterator[Category]:
    if items is not None:
        yield from items.categories
        yield from _categories(items.unless)


def _of_wrong_type(error: str) -> InvalidEvent:
    """The reason in an error of msgspec ("Expected `float` <= 1.0 - at `$.rules[3].share`")."""
    problem, _, path = error.partition(" - at `$")
    field = path.rstrip("`").lstrip(".") or None
    if field is not None and field.endswith(".kind"):
        return InvalidEvent(f"{field} cannot be taken; it must be one of {', '.join(KINDS)}.", field)
    if field is not None and field.endswith((".from", ".until")):
        return InvalidEvent(f"{field} cannot be taken; it must be a date such as 2026-12-01T00:00:00Z.", field)
    return InvalidEvent(
        f"{field or 'The document'} cannot be taken: {problem[:1].lower()}{problem[1:].rstrip('.')}.", field
    )
