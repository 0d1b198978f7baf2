"""What is asked at a visit, and the answer (docs/reference/http.md)."""

import hashlib
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

import msgspec

from state.domain.recommendation import AppliedRules, Item, ModelVersion, NextPurchase

MAX_LIMIT = 100
MAX_EXCLUDED = 1_000

Slot = Literal["replenish", "discover"]
Fallback = Literal["anonymous", "unknown_customer", "no_purchases"]


class VisitQuery(msgspec.Struct, frozen=True):
    """A question for a list.

    ``customer_id`` is None for an anonymous visitor, whose ``attributes`` may be known. ``at``: the time of the visit
    in seconds since 1970, None for that of the newest event. ``cart``: stock codes in the visitor's cart.
    """

    customer_id: str | None
    limit: int = 10
    slot: Slot | None = None
    category: str | None = None
    exclude: tuple[str, ...] = ()
    at: int | None = None
    attributes: Mapping[str, str] = {}
    cart: tuple[str, ...] = ()


class VisitLinks(msgspec.Struct, frozen=True):
    """Paths of this server; ``item`` and ``similar`` are URI templates (RFC 6570)."""

    self: str
    customer: str | None = None
    item: str = "/v1/items/{stock_code}"
    similar: str = "/v1/items/{stock_code}/similar"


class CartUse(msgspec.Struct, frozen=True):
    """The stock codes of a cart by whether the model knows what is bought together with them."""

    known: list[str]
    unknown: list[str]


class VisitRecommendation(msgspec.Struct, frozen=True):
    """A list for a visit.

    ``fallback`` is the reason why the list is that of the items in demand, null where it is the customer's. Dates are
    ISO 8601 in UTC; ``at`` is the time that the list is for, ``generated_at`` the clock. ``cart`` is null without one,
    ``rules`` where neither a rule nor the catalogue acted on the list.
    """

    rec_id: str
    customer_id: str | None
    revision: int
    fallback: Fallback | None
    at: str
    generated_at: str
    valid_until: str
    model: ModelVersion
    next_purchase: NextPurchase | None
    items: list[Item]
    cart: CartUse | None
    rules: AppliedRules | None
    links: VisitLinks


class CustomerProblem(msgspec.Struct, frozen=True):
    """Why a customer has no list."""

    customer_id: str
    detail: str


class VisitBatch(msgspec.Struct, frozen=True):
    """Lists of several customers, in the order of the question."""

    recommendations: list[VisitRecommendation]
    problems: list[CustomerProblem]


def visit_id(query: VisitQuery, revision: int, version: str, now: int) -> str:
    """The id of a recommendation for a visit: equal for equal lists."""
    return hashlib.blake2b(msgspec.json.encode((query, revision, version, now)), digest_size=12).hexdigest()


def visit_links(query: VisitQuery) -> VisitLinks:
    """The links of an answer."""
    if query.customer_id is None:
        return VisitLinks("/v1/recommendations")
    customer = f"/v1/customers/{path_part(query.customer_id)}"
    return VisitLinks(f"{customer}/recommendations", customer)


def path_part(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")
