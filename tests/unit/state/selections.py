"""Customers, candidates, catalogues and rules for tests of the selection."""

from collections.abc import Sequence
from typing import Any

import msgspec

from state.domain.catalogue import Catalogue, UnknownStock
from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.domain.rules import CompiledRules, Merchandising, RulesInForce
from state.domain.selection import select
from state.events.catalogue import CatalogueItem
from state.events.dates import DAY
from state.events.rules import Rule, Rules

NOW = 100 * DAY
CODES = [f"i{number}" for number in range(16)]


class Ranked(msgspec.Struct, frozen=True):
    stock_code: str
    probability: float


def unranked(code: str) -> Ranked | None:
    return Ranked(code, 0.0001) if code in CODES else None


def history(*purchases: tuple[int, str], attributes: dict[str, str] | None = None) -> CustomerHistory:
    """A customer who bought items at some days."""
    invoices = tuple(
        HeldInvoice(str(number), day * DAY, (HeldLine(code, 1_000, 1.0),))
        for number, (day, code) in enumerate(purchases)
    )
    dated = {key: (1, value) for key, value in (attributes or {}).items()}
    return CustomerHistory("7", invoices, None, dated)


def in_force(*rules: Rule, catalogue: Catalogue | None = None, unknown_stock: UnknownStock = "offer") -> RulesInForce:
    return Merchandising(catalogue, CompiledRules(Rules(version=3, rules=rules)), unknown_stock).at(NOW)


def ranking(*codes: str) -> list[Ranked]:
    """Candidates with the probabilities 0.5, 0.33, 0.25 and so on."""
    return [Ranked(code, 1 / (number + 2)) for number, code in enumerate(codes)]


def chosen(
    candidates: Sequence[Ranked], rules: RulesInForce, k: int = 4, customer: CustomerHistory | None = None, **more: Any
) -> list[str]:
    found = select(candidates, customer or history(), rules, k, unranked=unranked, **more)
    return [one.stock_code for one in found.items]


def items(**fields: Any) -> Catalogue:
    """A catalogue of the given items, each with its fields."""
    return Catalogue({code: CatalogueItem(code, **given) for code, given in fields.items()})
