"""The filters of rules as functions: which items and which customers a rule is about."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from state.events.attributes import Attributes
from state.events.catalogue import CatalogueItem, category_path
from state.events.rules import CustomerFilter, ItemFilter, Pin, Rule
from state.events.text import clean_text

Matches = Callable[[str, CatalogueItem | None], bool]
"""Whether an item with a stock code and an entry in the catalogue is meant."""
IsInSegment = Callable[[str, Attributes], bool]
"""Whether a customer with an id and attributes is in a segment."""


def in_segment(customers: CustomerFilter) -> IsInSegment:
    """Whether a customer matches a filter."""
    ids = frozenset(each.strip() for each in customers.customer_ids)
    attributes = _clean(customers.attributes)
    unless = None if customers.unless is None else in_segment(customers.unless)

    def is_in_segment(customer_id: str, known: Attributes) -> bool:
        return (
            (not ids or customer_id in ids)
            and all(known.get(key) in values for key, values in attributes)
            and (unless is None or not unless(customer_id, known))
        )

    return is_in_segment


def _clean(attributes: Mapping[str, Sequence[str]]) -> list[tuple[str, frozenset[str]]]:
    """Keys and values as events have them."""
    return [(clean_text(key), frozenset(map(clean_text, values))) for key, values in attributes.items()]


def with_canonical_codes(rule: Rule, canonical: Callable[[str], str]) -> Rule:
    """A rule with the stock codes that the dialect makes of those of the document."""

    def of_filter(items: ItemFilter) -> ItemFilter:
        unless = None if items.unless is None else of_filter(items.unless)
        return msgspec.structs.replace(items, stock_codes=codes(items.stock_codes), unless=unless)

    def codes(written: Sequence[str]) -> tuple[str, ...]:
        return tuple(canonical(code.strip()) for code in written)

    if isinstance(rule, Pin):
        return msgspec.structs.replace(rule, stock_codes=codes(rule.stock_codes))
    return rule if rule.items is None else msgspec.structs.replace(rule, items=of_filter(rule.items))


def items_of(rule: Rule) -> ItemFilter | None:
    """The items that a rule is about, None for all."""
    return ItemFilter(stock_codes=rule.stock_codes) if isinstance(rule, Pin) else rule.items


def matches_of(items: ItemFilter | None) -> Matches:
    """Whether an item matches a filter."""
    if items is None or items.is_empty:
        return lambda stock_code, item: True
    conditions: list[Matches] = []
    if items.stock_codes:
        codes = frozenset(items.stock_codes)
        conditions.append(lambda stock_code, item: stock_code in codes)
    if items.categories:
        conditions.append(_in_categories([category_path(path) for path in items.categories]))
    conditions += [_has_attribute(key, values) for key, values in _clean(items.attributes)]
    if items.unless is not None:
        excepted = matches_of(items.unless)
        conditions.append(lambda stock_code, item: not excepted(stock_code, item))
    if len(conditions) == 1:
        return conditions[0]
    return lambda stock_code, item: all(condition(stock_code, item) for condition in conditions)


def _in_categories(paths: Sequence[tuple[str, ...]]) -> Matches:
    wanted = frozenset(paths)
    lengths = sorted({len(path) for path in paths})

    def matches(stock_code: str, item: CatalogueItem | None) -> bool:
        return item is not None and any(item.category[:length] in wanted for length in lengths)

    return matches


def _has_attribute(key: str, values: frozenset[str]) -> Matches:
    return lambda stock_code, item: item is not None and item.attributes.get(key) in values
