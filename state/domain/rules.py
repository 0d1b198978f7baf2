"""The rules of merchandising in force at a time, compiled so that a look-up of an item costs about a microsecond.

``state.domain.selection`` applies them to a ranking.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from state.domain.catalogue import Catalogue, UnknownStock, unavailable
from state.domain.history import CustomerHistory
from state.domain.rule_filters import in_segment, items_of, matches_of, with_canonical_codes
from state.events.catalogue import CatalogueItem
from state.events.dates import DAY, to_seconds
from state.events.dialect import Dialect, Plain
from state.events.rules import (
    Boost,
    Cap,
    Cooldown,
    Exclude,
    LeastProbability,
    Only,
    Pin,
    Promote,
    Rule,
    Rules,
    Variety,
)

MAX_VERSION_STEP = 1_000_000
"""How far a version may be above the one in force: versions end at 2 ** 53, after which nobody could set rules."""

_MAX_KNOWN = 1_000_000
"""Bound of the cache of matching rules, in items; a full cache is cleared."""
_MAX_PLANS = 1_000
"""Bound of the cache of plans, in combinations of customer segments; a full cache is cleared. Attributes of customers
come with events, and with many rules each customer could be another combination."""

REPLAY_S = 31 * DAY
"""Events that are older than this are a replay, whose dates and not the clock decide which rules are in force."""

CATALOGUE = "catalogue"
REQUEST = "request"
"""The kinds of causes that are no rules."""


class Cause(NamedTuple):
    """What acts on an item: the kind and the name of a rule, or ``CATALOGUE`` and its reason (``unavailable``)."""

    kind: str
    rule: str


class ItemFacts(NamedTuple):
    """What is the same about an item for all customers of a batch.

    ``matching`` are the indices of the rules, in force or not, whose filter it matches. ``forbidden`` is what forbids
    it for everybody: the catalogue, or a rule.
    """

    item: CatalogueItem | None
    matching: frozenset[int]
    forbidden: Cause | None


HardRule = Exclude | Only | Cooldown | LeastProbability


class Plan(NamedTuple):
    """The rules in force for a customer by what they do, each with its index, in the order of the document.

    ``hard`` forbid items; exclusions for every customer are left out, because ``ItemFacts`` has them. ``factors``
    caches ``boost`` by item. ``only_replenish``: no item may be recommended that the customer has not bought.
    ``reads_slot``: a rule looks at whether the customer bought an item.
    """

    hard: list[tuple[int, HardRule]]
    pins: list[Pin]
    caps: list[tuple[int, Cap]]
    boosts: list[tuple[int, Boost]]
    reserving: list[tuple[int, Variety | Promote]]
    factors: dict[str, float]
    only_replenish: bool
    reads_slot: bool

    def excludes(self, facts: ItemFacts) -> bool:
        """Whether an item is forbidden for all customers with this plan."""
        return facts.forbidden is not None or any(
            index in facts.matching for index, rule in self.hard if isinstance(rule, Exclude)
        )

    def boost(self, stock_code: str, facts: ItemFacts) -> float:
        """The product of the factors of the boosts that an item matches."""
        factor = self.factors.get(stock_code)
        if factor is None:
            factor = 1.0
            for index, rule in self.boosts:
                if index in facts.matching:
                    factor *= rule.factor
            self.factors[stock_code] = factor
        return factor


def reads_slot(rule: Rule) -> bool:
    """Whether a rule has a slot: it looks at whether the customer bought an item."""
    return isinstance(rule, Only | Promote) and rule.slot is not None


def make_plan(rules: Mapping[int, Rule]) -> Plan:
    """The plan of some rules by index."""
    only_replenish = any(
        isinstance(rule, Only) and rule.slot == "replenish" and (rule.items is None or rule.items.is_empty)
        for rule in rules.values()
    )
    plan = Plan([], [], [], [], [], {}, only_replenish, any(map(reads_slot, rules.values())))
    for index, rule in rules.items():
        match rule:
            case Pin():
                plan.pins.append(rule)
            case Cap():
                plan.caps.append((index, rule))
            case Boost():
                plan.boosts.append((index, rule))
            case Variety() | Promote():
                plan.reserving.append((index, rule))
            case Exclude() if rule.customers is None:
                pass
            case _:
                plan.hard.append((index, rule))
    return plan


class CompiledRule(NamedTuple):
    """A rule with canonical stock codes, and its time span in seconds since 1970."""

    rule: Rule
    starts: int | None
    until: int | None

    def is_in_force(self, now: int) -> bool:
        """Whether the rule is switched on and ``now`` is in its time span."""
        return (
            self.rule.enabled
            and (self.starts is None or now >= self.starts)
            and (self.until is None or now < self.until)
        )


class CompiledRules:
    """A document of rules, and for each item the rules whose filter it matches.

    Stock codes in the document are read by the dialect, texts are cleaned as those of events. ``matching`` is cached by
    item: with it, 50 rules cost no more than one.

    Attributes:
        document: As it was set.
        rules: The rules of the document in order.
        segments: For each rule whether a customer is in its segment, None where it is for all.
    """

    def __init__(self, document: Rules | None = None, dialect: Dialect | None = None) -> None:
        self.document = document or Rules()
        canonical = (dialect or Plain()).stock_code
        self.rules = tuple(
            CompiledRule(
                with_canonical_codes(rule, canonical),
                None if rule.starts is None else to_seconds(rule.starts),
                None if rule.until is None else to_seconds(rule.until),
            )
            for rule in self.document.rules
        )
        self.segments = [None if rule.customers is None else in_segment(rule.customers) for rule in self.document.rules]
        self._matches = [matches_of(items_of(compiled.rule)) for compiled in self.rules]
        self._known: dict[str, tuple[CatalogueItem | None, frozenset[int]]] = {}

    def matching(self, stock_code: str, item: CatalogueItem | None) -> frozenset[int]:
        """The indices of the rules whose filter the item matches; ``item`` is its entry in the catalogue."""
        known = self._known.get(stock_code)
        if known is not None and known[0] is item:
            return known[1]
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        found = frozenset(index for index, matches in enumerate(self._matches) if matches(stock_code, item))
        self._known[stock_code] = item, found
        return found


class Merchandising:
    """A snapshot of the catalogue and the rules. It does not change; whoever follows the topics builds the next one.

    ``position`` is the sum of the offsets up to which the topics were read.
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        rules: CompiledRules | None = None,
        unknown_stock: UnknownStock = "offer",
        position: int = 0,
    ) -> None:
        self.catalogue = catalogue or Catalogue()
        self.rules = rules or CompiledRules()
        self.unknown_stock: UnknownStock = unknown_stock
        self.position = position

    @property
    def version(self) -> str:
        """Changes with the catalogue and the rules; equal in all processes that have read as much of the topics."""
        return f"{self.rules.document.version}-{self.position}"

    @property
    def reads_slot(self) -> bool:
        """Whether a rule that is switched on has a slot, in force or not."""
        return any(each.rule.enabled and reads_slot(each.rule) for each in self.rules.rules)

    @property
    def changes_nothing(self) -> bool:
        """Whether every ranking stays as it is: no rules, and nothing in the catalogue that forbids an item."""
        return not self.rules.rules and self.catalogue.forbids_nothing and self.unknown_stock == "offer"

    def at(self, now: int, clock: int | None = None) -> "RulesInForce":
        """What is in force, for a batch of customers.

        Args:
            now: Event time, or the time of a visit.
            clock: The clock, where the list is for now. It decides instead of ``now``, which an invoice dated ahead
                moves too far, and one that comes late not far enough; unless ``now`` is ``REPLAY_S`` before it.
        """
        return RulesInForce(self, now if clock is None or clock - now > REPLAY_S else clock)


class RulesInForce:
    """The rules and the catalogue at a time; used by one thread, for as many customers as share the time.

    Attributes:
        now: Seconds since 1970.
        catalogue: Of the snapshot.
        version: Of the document of rules.
        rules: The rules in force by their index in the document, in its order.
    """

    def __init__(self, merchandising: Merchandising, now: int) -> None:
        self.now = now
        self.catalogue = merchandising.catalogue
        self.version = merchandising.rules.document.version
        self._compiled = merchandising.rules
        self._unknown_stock: UnknownStock = merchandising.unknown_stock
        self.rules = {
            index: compiled.rule
            for index, compiled in enumerate(merchandising.rules.rules)
            if compiled.is_in_force(now)
        }
        self._for_all = tuple(index for index, rule in self.rules.items() if rule.customers is None)
        self._for_segments = [index for index, rule in self.rules.items() if rule.customers is not None]
        self._exclude_all = [index for index in self._for_all if isinstance(self.rules[index], Exclude)]
        self._facts: dict[str, ItemFacts] = {}
        self._plans: dict[tuple[int, ...], Plan] = {}

    def plan(self, history: CustomerHistory) -> "Plan":
        """The rules in force for a customer, by what they do."""
        indices = self._rules_for(history)
        plan = self._plans.get(indices)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[indices] = make_plan({index: self.rules[index] for index in indices})
        return plan

    def _rules_for(self, history: CustomerHistory) -> tuple[int, ...]:
        """The indices of the rules in force for a customer, in the order of the document."""
        if not self._for_segments:
            return self._for_all
        attributes, segments = history.attributes, self._compiled.segments
        mine = [
            index
            for index in self._for_segments
            if (is_in := segments[index]) is not None and is_in(history.customer_id, attributes)
        ]
        return tuple(sorted([*self._for_all, *mine]))

    def facts(self, stock_code: str) -> ItemFacts:
        """What is the same about an item for all customers."""
        known = self._facts.get(stock_code)
        if known is not None:
            return known
        item = self.catalogue.get(stock_code)
        matching = self._compiled.matching(stock_code, item)
        forbidden = None
        if (reason := unavailable(item, self.now, self._unknown_stock)) is not None:
            forbidden = Cause(CATALOGUE, reason)
        else:
            for index in self._exclude_all:
                if index in matching:
                    forbidden = Cause("exclude", self.rules[index].name)
                    break
        facts = self._facts[stock_code] = ItemFacts(item, matching, forbidden)
        return facts

    def group(self, rule: Cap | Variety, stock_code: str) -> str | tuple[str, ...] | None:
        """The group that a cap or a variety rule counts an item in, None where it is in none."""
        item = self.facts(stock_code).item
        if item is None:
            return None
        if rule.attribute is not None:
            return item.attributes.get(rule.attribute)
        return item.category[: rule.category_level] if len(item.category) >= rule.category_level else None


def kind_of(rule: Rule) -> str:
    """The kind of a rule, as in the document."""
    return str(type(rule).__struct_config__.tag)


def missing_from(document: Rules, catalogue: Catalogue, dialect: Dialect) -> Iterable[str]:
    """A sentence for each rule that is about some items only, of which none is in the catalogue."""
    for rule, _, _ in CompiledRules(document, dialect).rules:
        meant = items_of(rule)
        matches = matches_of(meant)
        is_about_all = meant is None or meant.is_empty
        if not is_about_all and not any(matches(code, item) for code, item in catalogue.items()):
            yield f"{rule.name}: no item of the catalogue matches it."


def replace_version(rules: Rules, version: int) -> Rules:
    """The same rules under another version."""
    return msgspec.structs.replace(rules, version=version)
