"""The selection under every kind of rule: properties that hold whatever the rules, and each rule by itself."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.domain.catalogue import Catalogue, UnknownStock, unavailable
from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.domain.rules import CompiledRules, Merchandising, RulesInForce
from state.domain.selection import SEARCH, Absence, Selection, cooldown_end, select, why_not
from state.events.catalogue import CatalogueItem
from state.events.dates import DAY
from state.events.dialect import Uci
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
    Rules,
    Variety,
)

NOW = 100 * DAY
CODES = [f"i{number}" for number in range(16)]
CATEGORIES = [("A",), ("A", "a"), ("A", "b"), ("B",), ("B", "c"), ()]


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


# Strategies.

codes = st.sampled_from(CODES)
filters = st.builds(
    ItemFilter,
    stock_codes=st.lists(codes, max_size=3).map(tuple),
    categories=st.lists(st.sampled_from([("A",), ("A", "a"), "B > c"]), max_size=2).map(tuple),
    attributes=st.sampled_from([{}, {"brand": ("x",)}, {"brand": ("x", "y")}]),
)
some_items = filters.filter(lambda items: not items.is_empty)
segments = st.sampled_from([None, CustomerFilter(attributes={"tier": ("gold",)}), CustomerFilter(customer_ids=("7",))])
spans = st.sampled_from([None, datetime.fromtimestamp(50 * DAY, UTC), datetime.fromtimestamp(150 * DAY, UTC)])


def of(kind: Callable[..., Rule], **fields: Any) -> st.SearchStrategy[Rule]:
    """Rules of a kind; the names become unique later."""
    return st.builds(kind, name=st.just("r"), customers=segments, starts=spans, enabled=st.booleans(), **fields)


a_rule = st.one_of(
    of(Exclude, items=some_items),
    of(Cooldown, items=filters, days=st.integers(1, 60), until_due=st.booleans()),
    of(Only, items=filters, slot=st.sampled_from(["replenish", "discover"])),
    of(LeastProbability, items=filters, probability=st.floats(0.01, 0.9)),
    of(Pin, stock_codes=st.lists(codes, min_size=1, max_size=3).map(tuple), position=st.integers(1, 12)),
    of(Cap, items=filters, most=st.integers(1, 3), category_level=st.integers(1, 2)),
    of(Cap, items=filters, most=st.integers(1, 3), attribute=st.just("brand")),
    of(Variety, items=filters, least=st.integers(2, 5)),
    of(Boost, items=some_items, factor=st.floats(0.1, 10)),
    of(Promote, items=some_items, share=st.floats(0.1, 1)),
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
def test_nothing_forbidden_leaves_whatever_the_rules(case: Case) -> None:
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
    assert found == [*ranked, *(code for code in CODES if code in found and code not in ranked)] or case.mine(Promote)


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


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stock": 1.0}, None),
        ({}, None),
        ({"blocked": True, "stock": 3.0}, "blocked"),
        ({"stock": 0.0}, "out_of_stock"),
        ({"stock": -3.0}, "out_of_stock"),
        ({"on_sale_from": NOW}, None),
        ({"on_sale_from": NOW + 1}, "not_on_sale"),
        ({"on_sale_until": NOW}, "not_on_sale"),
        ({"on_sale_until": NOW + 1}, None),
        ({"invalid": "price is missing"}, "invalid_event"),
    ],
)
def test_the_catalogue_forbids_an_item(fields: dict[str, Any], reason: str | None) -> None:
    rules = in_force(catalogue=items(i0=fields))
    found = select(ranking("i0", "i1"), history(), rules, 1, unranked=unranked)
    assert [one.stock_code for one in found.items] == (["i0"] if reason is None else ["i1"])
    assert [(action.kind, action.rule, action.stock_codes) for action in found.acted] == (
        [] if reason is None else [("catalogue", reason, ("i0",))]
    )


def test_unknown_stock_is_offered_or_excluded() -> None:
    catalogue = items(i0={"stock": 2.0}, i1={})
    assert chosen(ranking("i2", "i1", "i0"), in_force(catalogue=catalogue)) == ["i2", "i1", "i0"]
    assert chosen(ranking("i2", "i1", "i0"), in_force(catalogue=catalogue, unknown_stock="exclude")) == ["i0"]


def test_a_cooldown_ends_after_its_days_or_when_the_item_is_due() -> None:
    customer = history((10, "i0"), (50, "i0"), (80, "i1"))  # i0 is due on day 90
    days = in_force(Cooldown(name="c", days=30))
    assert chosen(ranking("i0", "i1", "i2"), days, customer=customer) == ["i0", "i2"]
    due = in_force(Cooldown(name="c", until_due=True, days=30))
    assert chosen(ranking("i0", "i1", "i2"), due, customer=customer) == ["i0", "i2"]
    early = history((10, "i0"), (70, "i0"))  # due on day 130
    assert chosen(ranking("i0", "i1", "i2"), due, customer=early) == ["i1", "i2"]
    assert cooldown_end([0, 10, 40], Cooldown(name="c", until_due=True)) == 60


def test_only_one_slot() -> None:
    customer = history((10, "i0"), (50, "i1"))
    assert chosen(ranking("i0", "i2", "i1"), in_force(Only(name="o", slot="replenish")), customer=customer) == [
        "i0",
        "i1",
    ]
    assert chosen(ranking("i0", "i2", "i1"), in_force(Only(name="o", slot="discover")), customer=customer) == ["i2"]


def test_a_rule_is_for_its_customers_and_its_time_span() -> None:
    segment = CustomerFilter(attributes={"tier": ("gold",)})
    rules = in_force(Exclude(name="e", items=ItemFilter(stock_codes=("i0",)), customers=segment))
    assert chosen(ranking("i0", "i1"), rules, customer=history(attributes={"tier": "gold"})) == ["i1"]
    assert chosen(ranking("i0", "i1"), rules, customer=history(attributes={"tier": "blue"})) == ["i0", "i1"]
    others = CustomerFilter(unless=segment)
    rules = in_force(Exclude(name="e", items=ItemFilter(stock_codes=("i0",)), customers=others))
    assert chosen(ranking("i0", "i1"), rules, customer=history(attributes={"tier": "blue"})) == ["i1"]
    today = datetime.fromtimestamp(NOW, UTC)
    begins = Exclude(name="e", items=ItemFilter(stock_codes=("i0",)), starts=today)
    ends = Exclude(name="f", items=ItemFilter(stock_codes=("i1",)), until=today)
    assert chosen(ranking("i0", "i1"), in_force(begins, ends)) == ["i1"]


def test_the_clock_decides_what_is_in_force_except_in_a_replay() -> None:
    ends = Exclude(name="e", items=ItemFilter(stock_codes=("i0",)), until=datetime.fromtimestamp(NOW, UTC))
    snapshot = Merchandising(None, CompiledRules(Rules(rules=(ends,))))
    assert chosen(ranking("i0", "i1"), snapshot.at(NOW - DAY)) == ["i1"]
    assert chosen(ranking("i0", "i1"), snapshot.at(NOW - DAY, clock=NOW)) == ["i0", "i1"], "the event came late"
    assert chosen(ranking("i0", "i1"), snapshot.at(NOW + DAY, clock=NOW - 1)) == ["i1"], "it is dated ahead"
    assert chosen(ranking("i0", "i1"), snapshot.at(NOW - DAY, clock=NOW + 40 * DAY)) == ["i1"], "it is a replay"


def test_stock_codes_and_texts_are_read_as_in_events() -> None:
    catalogue = Catalogue(
        {"85123A": CatalogueItem("85123A", attributes={"brand": "Café Noir"}), "B": CatalogueItem("B")}
    )
    of_code = ItemFilter(stock_codes=(" 85123a",))
    of_brand = ItemFilter(attributes={" brand": ("Cafe\u0301  Noir ",)})
    for items in (of_code, of_brand, ItemFilter(unless=ItemFilter(unless=of_code))):
        rules = CompiledRules(Rules(rules=(Exclude(name="e", items=items),)), Uci())
        in_uci = Merchandising(catalogue, rules).at(NOW)
        assert chosen(ranking("85123A", "B"), in_uci) == ["B"]
    pin = CompiledRules(Rules(rules=(Pin(name="p", stock_codes=("85123a",), position=2),)), Uci())
    assert chosen(ranking("B", "i1", "85123A"), Merchandising(catalogue, pin).at(NOW)) == ["B", "85123A", "i1"]
    assert pin.document.rules[0] == Pin(name="p", stock_codes=("85123a",), position=2)


def test_a_pin_is_at_its_position_and_never_a_forbidden_item() -> None:
    pin = Pin(name="p", stock_codes=("i9", "i8"), position=2)
    assert chosen(ranking("i0", "i1", "i2"), in_force(pin)) == ["i0", "i9", "i8", "i1"]
    blocked = items(i9={"blocked": True})
    assert chosen(ranking("i0", "i1", "i2"), in_force(pin, catalogue=blocked)) == ["i0", "i8", "i1", "i2"]
    unknown = Pin(name="p", stock_codes=("nobody sells this",))
    assert chosen(ranking("i0", "i1"), in_force(unknown)) == ["i0", "i1"]
    late = Pin(name="p", stock_codes=("i9",), position=5)
    assert chosen(ranking("i0", "i1"), in_force(late)) == ["i0", "i1"]


def test_of_two_pins_at_one_position_the_later_comes_after() -> None:
    pins = Pin(name="p", stock_codes=("i9",)), Pin(name="q", stock_codes=("i8",))
    assert chosen(ranking("i0", "i1", "i2"), in_force(*pins)) == ["i9", "i8", "i0", "i1"]


def test_a_cap_counts_pinned_items() -> None:
    catalogue = items(**{code: {"category": ("A", code)} for code in ("i0", "i1", "i2")})
    cap = Cap(name="c", most=2)
    assert chosen(ranking("i0", "i1", "i2", "i3"), in_force(cap, catalogue=catalogue)) == ["i0", "i1", "i3"]
    pin = Pin(name="p", stock_codes=("i2",))
    assert chosen(ranking("i0", "i1", "i2", "i3"), in_force(cap, pin, catalogue=catalogue)) == ["i2", "i0", "i3"]
    by_brand = items(i0={"attributes": {"brand": "x"}}, i1={"attributes": {"brand": "x"}})
    cap = Cap(name="c", most=1, attribute="brand")
    assert chosen(ranking("i0", "i1", "i2"), in_force(cap, catalogue=by_brand)) == ["i0", "i2"]


def test_variety_reserves_the_last_places() -> None:
    catalogue = items(**{f"i{n}": {"category": ("A" if n < 5 else f"B{n}",)} for n in range(8)})
    variety = Variety(name="v", least=3)
    codes = [f"i{n}" for n in range(8)]
    assert chosen(ranking(*codes), in_force(variety, catalogue=catalogue)) == ["i0", "i1", "i5", "i6"]
    found = select(ranking(*codes), history(), in_force(variety, catalogue=catalogue), 4, unranked=unranked)
    assert [(action.rule, action.stock_codes) for action in found.acted] == [("v", ("i5", "i6"))]
    only_a = items(**{f"i{n}": {"category": ("A",)} for n in range(8)})
    assert chosen(ranking(*codes), in_force(variety, catalogue=only_a)) == ["i0", "i1", "i2", "i3"]


def test_a_promoted_share_is_rounded_up_and_found_beyond_the_ranking() -> None:
    promote = Promote(name="p", share=0.3, items=ItemFilter(stock_codes=("i7", "i8", "i9")))
    assert chosen(ranking("i0", "i1", "i2", "i3", "i7"), in_force(promote)) == ["i0", "i1", "i7", "i8"]
    assert chosen(ranking("i7", "i1", "i8", "i3"), in_force(promote)) == ["i7", "i1", "i8", "i3"]


def test_a_boost_moves_items_and_below_one_buries_them() -> None:
    boost = Boost(name="b", factor=3.0, items=ItemFilter(stock_codes=("i2",)))
    assert chosen(ranking("i0", "i1", "i2"), in_force(boost)) == ["i2", "i0", "i1"]
    bury = Boost(name="b", factor=0.1, items=ItemFilter(stock_codes=("i0",)))
    assert chosen(ranking("i0", "i1", "i2"), in_force(bury)) == ["i1", "i2", "i0"]


def test_a_filter_takes_categories_below_a_path_and_leaves_out_unless() -> None:
    catalogue = items(i0={"category": ("A", "a")}, i1={"category": ("A", "b", "x")}, i2={"category": ("AB",)})
    rule = Exclude(name="e", items=ItemFilter(categories=("A",), unless=ItemFilter(categories=("A > b",))))
    assert chosen(ranking("i0", "i1", "i2", "i3"), in_force(rule, catalogue=catalogue)) == ["i1", "i2", "i3"]


def test_verdicts() -> None:
    catalogue = items(i0={"blocked": True}, i1={"category": ("A",)}, i2={"category": ("A",)})
    rules = in_force(
        Cap(name="cap", most=1), Exclude(name="e", items=ItemFilter(stock_codes=("i0",))), catalogue=catalogue
    )
    candidates = ranking("i0", "i1", "i2", "i3", "i4", "i5")

    def verdict(code: str) -> Absence:
        return why_not(code, candidates, history(), rules, 2, unranked=unranked)

    assert verdict("i1") == Absence("listed", 1, candidates[1].probability)
    assert verdict("i0") == Absence("forbidden", 1, 0.5, (("catalogue", "blocked"),))  # type: ignore[arg-type]
    assert verdict("i2") == Absence("capped", 3, 0.25, (("cap", "cap"),))  # type: ignore[arg-type]
    assert verdict("i5").verdict == "below"
    assert verdict("i5").rank == 6
    assert verdict("i9").verdict == "no_candidate"
    assert verdict("nobody sells this").verdict == "unknown"


def test_a_search_ends() -> None:
    """What nothing can fill is not searched for among all items of a large shop, for every customer."""
    asked: list[str] = []

    def many(code: str) -> Ranked | None:
        asked.append(code)
        return Ranked(code, 0.0)

    catalogue = items(i0={"category": ("A",)}, i1={"category": ("A",)})
    demand = [str(number) for number in range(50_000)]
    for rule in (
        Variety(name="v", least=2),
        LeastProbability(name="l", probability=0.1),
        Only(name="o", slot="replenish"),
    ):
        asked.clear()
        rules = in_force(rule, catalogue=catalogue)
        found = select(ranking("i0", "i1"), history((1, "i0"), (2, "i1")), rules, 3, unranked=many, in_demand=demand)
        assert [one.stock_code for one in found.items][:2] == ["i0", "i1"]
        assert len(asked) <= SEARCH
        assert sum(len(action.stock_codes) for action in found.acted) <= 2, "fillers are not named"


def test_items_that_are_excluded_for_a_segment_do_not_end_the_search() -> None:
    demand = [str(number) for number in range(50_000)]
    everybody = CustomerFilter(customer_ids=("7",))
    only_last = Exclude(name="e", items=ItemFilter(unless=ItemFilter(stock_codes=("49999",))), customers=everybody)
    found = select([], history(), in_force(only_last), 3, unranked=lambda code: Ranked(code, 0.0), in_demand=demand)
    assert [one.stock_code for one in found.items] == ["49999"]


def test_where_only_what_was_bought_is_allowed_the_list_is_filled_with_it() -> None:
    customer = history((3, "i5"), (1, "i6"), (9, "i7"))
    rules = in_force(Only(name="o", slot="replenish"))
    assert chosen(ranking("i0", "i6"), rules, customer=customer, in_demand=CODES) == ["i6", "i7", "i5"]
