"""Properties of the selection that hold whatever the catalogue and the rules."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from state.domain.catalogue import Catalogue, UnknownStock, unavailable
from state.domain.history import CustomerHistory
from state.domain.rules import RulesInForce
from state.domain.selection import Absence, Selection, cooldown_end, select, why_not
from state.events.catalogue import CatalogueItem
from state.events.dates import DAY
from state.events.rules import (
    Boost,
    Cap,
    Cooldown,
    CustomerFilter,
    Exclude,
    ItemFilter,
    LeastProbability,
    Only,
    Pin,
    Promote,
    Rule,
    Variety,
)
from tests.unit.state.selections import CODES, NOW, Ranked, history, in_force, items, unranked

CATEGORIES = [("A",), ("A", "a"), ("A", "b"), ("B",), ("B", "c"), ()]

codes = st.sampled_from(CODES)
filters = st.builds(
    ItemFilter,
    stock_codes=st.lists(codes, max_size=3).map(tuple),
    categories=st.lists(st.sampled_from([("A",), ("A", "a"), "B > c"]), max_size=2).map(tuple),
    attributes=st.sampled_from([{}, {"brand": ("x",)}, {"brand": ("x", "y")}]),
)
some_items = filters.filter(lambda items: not items.is_empty)
segments = st.sampled_from([None, CustomerFilter(attributes={"tier": ("gold",)}), CustomerFilter(customer_ids=("7",))])
slots = st.sampled_from(["replenish", "discover"])
spans = st.sampled_from([None, datetime.fromtimestamp(50 * DAY, UTC), datetime.fromtimestamp(150 * DAY, UTC)])


def of(kind: Callable[..., Rule], **fields: Any) -> st.SearchStrategy[Rule]:
    """Rules of a kind; the names become unique later."""
    return st.builds(kind, name=st.just("r"), customers=segments, starts=spans, enabled=st.booleans(), **fields)


a_rule = st.one_of(
    of(Exclude, items=some_items),
    of(Cooldown, items=filters, days=st.integers(1, 60), until_due=st.booleans()),
    of(Only, items=filters, slot=slots),
    of(LeastProbability, items=filters, probability=st.floats(0.01, 0.9)),
    of(Pin, stock_codes=st.lists(codes, min_size=1, max_size=3).map(tuple), position=st.integers(1, 12)),
    of(Cap, items=filters, most=st.integers(1, 3), category_level=st.integers(1, 2)),
    of(Cap, items=filters, most=st.integers(1, 3), attribute=st.just("brand")),
    of(Variety, items=filters, least=st.integers(2, 5)),
    of(Boost, items=some_items, factor=st.floats(0.1, 10)),
    of(Promote, items=some_items, share=st.floats(0.1, 1)),
    of(Promote, items=filters, share=st.floats(0.1, 1), slot=slots),
)
documents = st.lists(a_rule, max_size=6).map(
    lambda rules: tuple(msgspec.structs.replace(rule, name=f"r{number}") for number, rule in enumerate(rules))
)
entries = st.builds(
    CatalogueItem,
    stock_code=st.just(""),
    category=st.sampled_from(CATEGORIES),
    stock=st.sampled_from([None, 0.0, -2.0, 5.0]),
    blocked=st.sampled_from([False, False, False, True]),
    on_sale_from=st.sampled_from([None, None, NOW, NOW + 1]),
    on_sale_until=st.sampled_from([None, None, NOW, NOW + 1]),
    attributes=st.sampled_from([{}, {"brand": "x"}, {"brand": "y"}]),
    invalid=st.sampled_from([None, None, None, "no price"]),
)
catalogues = st.dictionaries(codes, entries).map(
    lambda found: Catalogue({code: msgspec.structs.replace(one, stock_code=code) for code, one in found.items()})
)
rankings = st.lists(
    st.tuples(codes, st.sampled_from([0.5, 0.3, 0.3, 0.1, 0.02])), unique_by=lambda each: each[0], max_size=16
).map(lambda found: [Ranked(*each) for each in sorted(found, key=lambda each: -each[1])])
histories = st.builds(
    lambda bought, tier: history(*sorted(bought), attributes=tier),
    st.lists(st.tuples(st.integers(1, 100), codes), max_size=8),
    st.sampled_from([{}, {"tier": "gold"}]),
)


class Case(msgspec.Struct):
    """The arguments of a selection."""

    candidates: list[Ranked]
    customer: CustomerHistory
    rules: RulesInForce
    k: int
    exclude: frozenset[str]
    wanted: frozenset[str]
    unknown_stock: UnknownStock

    def select(self) -> Selection[Ranked]:
        return select(
            self.candidates,
            self.customer,
            self.rules,
            self.k,
            unranked=unranked,
            in_demand=CODES,
            exclude=self.exclude,
            wanted=self.wanted.__contains__,
        )

    def why_not(self, code: str) -> Absence:
        return why_not(
            code,
            self.candidates,
            self.customer,
            self.rules,
            self.k,
            unranked=unranked,
            in_demand=CODES,
            exclude=self.exclude,
            wanted=self.wanted.__contains__,
        )

    def filling_order(self) -> list[str]:
        """Stock codes in the order that fill a short list: by demand, or the newest purchase first."""
        if not any(
            rule.slot == "replenish" and (rule.items is None or rule.items.is_empty) for rule in self.mine(Only)
        ):
            return CODES
        last = {line.stock_code: invoice.date for invoice in self.customer.invoices for line in invoice.lines}
        return sorted(last, key=lambda code: (-last[code], code))

    def mine(self, *kinds: type) -> list[Any]:
        """The rules of some kinds that are in force for the customer, worked out from the document."""
        tier = self.customer.attributes.get("tier")
        return [
            rule
            for rule in self.rules.rules.values()
            if isinstance(rule, kinds)
            and (rule.customers is None or rule.customers.customer_ids or tier in rule.customers.attributes["tier"])
        ]

    def matches(self, rule: Any, code: str) -> bool:
        """Whether the items of a rule hold one, worked out from its filter."""
        meant, item = rule.items, self.rules.catalogue.get(code)
        if meant is None:
            return True
        category = item.category if item else ()
        paths = [path if isinstance(path, tuple) else tuple(path.split(" > ")) for path in meant.categories]
        return (
            (not meant.stock_codes or code in meant.stock_codes)
            and (not paths or any(path == category[: len(path)] for path in paths))
            and all(item is not None and item.attributes.get(key) in each for key, each in meant.attributes.items())
        )

    def is_forbidden(self, one: Ranked) -> bool:
        code = one.stock_code
        dates = [invoice.date for invoice in self.customer.invoices if invoice.lines[0].stock_code == code]
        return (
            code in self.exclude
            or code not in self.wanted
            or unavailable(self.rules.catalogue.get(code), NOW, self.unknown_stock) is not None
            or any(self.matches(rule, code) for rule in self.mine(Exclude))
            or any(
                self.matches(rule, code) and one.probability < rule.probability for rule in self.mine(LeastProbability)
            )
            or any(self.matches(rule, code) and bool(dates) != (rule.slot == "replenish") for rule in self.mine(Only))
            or any(
                self.matches(rule, code) and bool(dates) and cooldown_end(dates, rule) > NOW
                for rule in self.mine(Cooldown)
            )
        )

    def capped(self, chosen: Sequence[str], pinned: set[str]) -> bool:
        """Whether an item that is not pinned exceeds a cap."""
        for cap in self.mine(Cap):
            groups: dict[object, list[str]] = {}
            for code in chosen:
                if self.matches(cap, code) and (group := self.rules.group(cap, code)) is not None:
                    groups.setdefault(group, []).append(code)
            for members in groups.values():
                if len(members) > max(cap.most, sum(code in pinned for code in members)):
                    return True
        return False


@st.composite
def cases(draw: st.DrawFn) -> Case:
    choices: list[UnknownStock] = ["offer", "exclude"]
    unknown_stock = draw(st.sampled_from(choices))
    return Case(
        draw(rankings),
        draw(histories),
        in_force(*draw(documents), catalogue=draw(catalogues), unknown_stock=unknown_stock),
        draw(st.integers(1, 10)),
        draw(st.frozensets(codes, max_size=2)),
        draw(st.just(frozenset(CODES)) | st.frozensets(codes, max_size=12)),
        unknown_stock,
    )


many = settings(max_examples=int(os.environ.get("NEXTBASKET_TEST_EXAMPLES", "60")), deadline=None)


@many
@given(cases())
def test_nothing_forbidden_is_selected_whatever_the_rules(case: Case) -> None:
    assert [one.stock_code for one in case.select().items if case.is_forbidden(one)] == []


@many
@given(cases())
def test_probabilities_never_change_and_no_item_comes_twice(case: Case) -> None:
    found = case.select().items
    of_ranking = {one.stock_code: one for one in case.candidates}
    assert all(one == of_ranking.get(one.stock_code, unranked(one.stock_code)) for one in found)
    assert len({one.stock_code for one in found}) == len(found) <= case.k


@many
@given(cases())
def test_only_pinned_items_exceed_a_cap(case: Case) -> None:
    found = [one.stock_code for one in case.select().items]
    pinned = {code for pin in case.mine(Pin) for code in pin.stock_codes}
    assert not case.capped(found, pinned)


@many
@given(cases())
def test_items_that_are_not_pinned_keep_their_order(case: Case) -> None:
    pinned = {code for pin in case.mine(Pin) for code in pin.stock_codes}
    boosts = case.mine(Boost)

    def boosted(one: Ranked) -> float:
        factor = 1.0
        for boost in boosts:
            factor *= boost.factor if case.matches(boost, one.stock_code) else 1.0
        return one.probability * factor

    expected = [one.stock_code for one in sorted(case.candidates, key=lambda one: -boosted(one))]
    found = [one.stock_code for one in case.select().items if one.stock_code not in pinned]
    ranked = [code for code in found if code in expected]
    assert ranked == [code for code in expected if code in ranked]
    filled = [code for code in case.filling_order() if code in found and code not in ranked]
    assert found == [*ranked, *filled] or case.mine(Promote)


@many
@given(cases())
def test_a_list_too_short_has_everything_that_is_allowed(case: Case) -> None:
    found = [one.stock_code for one in case.select().items]
    if len(found) == case.k:
        return
    of_ranking = {one.stock_code: one for one in case.candidates}
    for code in CODES:
        one = of_ranking.get(code) or unranked(code)
        assert one is not None
        if code not in found and not case.is_forbidden(one):
            pinned = {each for pin in case.mine(Pin) for each in pin.stock_codes}
            assert case.capped([*found, code], pinned - {code}), f"{code} is missing"


@many
@given(cases(), codes)
def test_every_absence_is_explained(case: Case, code: str) -> None:
    found = [one.stock_code for one in case.select().items]
    one = next((each for each in case.candidates if each.stock_code == code), unranked(code))
    assert one is not None
    absence = case.why_not(code)
    assert (absence.verdict == "listed") == (code in found)
    assert (absence.verdict == "forbidden") == case.is_forbidden(one)
    names = {rule.name for rule in case.rules.rules.values()}
    assert all(cause.kind in ("catalogue", "request") or cause.rule in names for cause in absence.causes)
    assert bool(absence.causes) == (absence.verdict in ("forbidden", "capped", "made_room"))


@many
@given(rankings, histories, st.integers(1, 10))
def test_without_rules_the_list_is_the_ranking(candidates: list[Ranked], customer: CustomerHistory, k: int) -> None:
    found = select(candidates, customer, in_force(), k, unranked=unranked)
    assert found.items == candidates[:k]
    assert found.acted == ()


sorted_catalogues = st.lists(st.sampled_from("AAAABCDE"), min_size=len(CODES), max_size=len(CODES)).map(
    lambda groups: items(**{code: {"category": (group,)} for code, group in zip(CODES, groups, strict=True)})
)


@st.composite
def cases_of(draw: st.DrawFn, /, kind: Callable[..., Rule], **fields: Any) -> Case:
    """A selection with one rule of a kind, which is in force, and perhaps one that forbids items."""
    forbidding = draw(st.lists(st.builds(Exclude, name=st.just("no"), items=some_items), max_size=1))
    rules = in_force(*forbidding, draw(st.builds(kind, name=st.just("r"), **fields)), catalogue=draw(sorted_catalogues))
    return Case(
        draw(rankings), draw(histories), rules, draw(st.integers(2, 10)), frozenset(), frozenset(CODES), "offer"
    )


def allowed(case: Case) -> list[str]:
    """The stock codes that may be in the list, ranked or not."""
    of_ranking = {one.stock_code: one for one in case.candidates}
    return [code for code in CODES if not case.is_forbidden(of_ranking.get(code, Ranked(code, 0.0001)))]


@many
@given(cases_of(Variety, least=st.integers(2, 5)))
def test_a_list_has_as_many_groups_as_a_variety_rule_wants_or_as_there_are(case: Case) -> None:
    found = [one.stock_code for one in case.select().items]
    for rule in case.mine(Variety):
        meant = [code for code in allowed(case) if case.matches(rule, code)]
        there = {case.rules.group(rule, code) for code in meant} - {None}
        listed = {case.rules.group(rule, code) for code in found if case.matches(rule, code)} - {None}
        assert len(listed) >= min(rule.least, len(there), case.k)


@many
@given(
    cases_of(Promote, items=some_items, share=st.floats(0.1, 1))
    | cases_of(Promote, items=filters, share=st.floats(0.1, 1), slot=slots)
)
def test_a_list_has_the_promoted_share_or_all_of_it_that_is_allowed(case: Case) -> None:
    found = [one.stock_code for one in case.select().items]
    bought = {line.stock_code for invoice in case.customer.invoices for line in invoice.lines}
    for rule in case.mine(Promote):

        def is_promoted(code: str, rule: Promote = rule) -> bool:
            return case.matches(rule, code) and rule.slot in (None, "replenish" if code in bought else "discover")

        there = sum(map(is_promoted, allowed(case)))
        assert sum(map(is_promoted, found)) >= min(ceil(rule.share * case.k - 1e-9), there)


@many
@given(cases_of(Pin, stock_codes=codes.map(lambda code: (code,)), position=st.integers(1, 12)))
def test_a_pinned_item_is_at_its_position_or_last_and_never_where_it_is_forbidden(case: Case) -> None:
    found = [one.stock_code for one in case.select().items]
    for rule in case.mine(Pin):
        (code,) = rule.stock_codes
        if code not in allowed(case) or rule.position > case.k:
            continue
        assert found.index(code) == min(rule.position, len(found)) - 1
