"""The recommendation as it is published, stored in Redis and shown (schema on docs/reference/events.md)."""

from typing import Any

import msgspec

from state.events.struct_schema import struct_schema


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """The event that caused a recommendation; ``refresh`` is the cause where it was none."""

    invoice_no: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    refresh: str | None = None


class ModelVersion(msgspec.Struct, frozen=True):
    """The model that made the recommendation."""

    name: str
    version: str


class NextPurchase(msgspec.Struct, frozen=True):
    """When the customer is due: chances by horizon in days, and the dates at which they reach 10, 50 and 90 %."""

    within_days: dict[str, float]
    earliest: str | None
    median: str | None
    latest: str | None


class Reason(msgspec.Struct, frozen=True):
    """Why an item is recommended; ``evidence`` holds the facts behind the code."""

    code: str
    evidence: dict[str, int | float | str]


class Item(msgspec.Struct, frozen=True):
    """One recommended item; ``probability`` is calibrated and given that the customer buys again."""

    stock_code: str
    description: str | None
    probability: float
    slot: str
    reason: Reason


class RuleAction(msgspec.Struct, frozen=True):
    """What a rule did to one list, and to which items.

    ``kind``: of the rule, and ``rule`` its name; or ``catalogue`` or ``request``, and ``rule`` is the reason.
    ``stock_codes``: the items that it removed, or that are in the list or at their position for it.
    """

    rule: str
    kind: str
    stock_codes: tuple[str, ...]


class AppliedRules(msgspec.Struct, frozen=True):
    """The version of the rules, and what acted on this list: rules and the catalogue."""

    version: int
    acted: tuple[RuleAction, ...]


class Recommendation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A prediction of one customer's next basket. Dates are ISO 8601 in UTC.

    ``rules`` is left out where neither a rule nor the catalogue acted on the list.
    """

    rec_id: str
    customer_id: str
    revision: int
    generated_at: str
    valid_until: str
    trigger: Trigger
    model: ModelVersion
    next_purchase: NextPurchase
    items: list[Item]
    rules: AppliedRules | None = None


def recommendation_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a recommendation."""
    return struct_schema(Recommendation, "Recommendation, version 1")
