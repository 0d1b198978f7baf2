"""The selection under one rule, or the catalogue, at a time, and why an item is not selected."""

from datetime import UTC, datetime
from typing import Any

import pytest

from state.domain.catalogue import Catalogue
from state.domain.rules import CompiledRules, Merchandising
from state.domain.selection import SEARCH, Absence, cooldown_end, select, why_not
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
    Rules,
    Variety,
)
from tests.unit.state.selections import CODES, NOW, Ranked, chosen, history, in_force, items, ranking, unranked


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
    for each in (of_code, of_brand, ItemFilter(unless=ItemFilter(unless=of_code))):
        rules = CompiledRules(Rules(rules=(Exclude(name="e", items=each),)), Uci())
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


def test_variety_reserves_the_last_positions() -> None:
    catalogue = items(**{f"i{n}": {"category": ("A" if n < 5 else f"B{n}",)} for n in range(8)})
    variety = Variety(name="v", least=3)
    codes = [f"i{n}" for n in range(8)]
    assert chosen(ranking(*codes), in_force(variety, catalogue=catalogue)) == ["i0", "i1", "i5", "i6"]
    found = select(ranking(*codes), history(), in_force(variety, catalogue=catalogue), 4, unranked=unranked)
    assert [(action.rule, action.stock_codes) for action in found.acted] == [("v", ("i5", "i6"))]
    only_a = items(**{f"i{n}": {"category": ("A",)} for n in range(8)})
    assert chosen(ranking(*codes), in_force(variety, catalogue=only_a)) == ["i0", "i1", "i2", "i3"]


def test_a_share_is_promoted_of_what_the_customer_never_bought_or_did() -> None:
    customer = history((10, "i0"), (20, "i1"), (30, "i2"), (40, "i3"))
    candidates = ranking("i0", "i1", "i2", "i3", "i9", "i8", "i7")
    new = in_force(Promote(name="half new", share=0.5, slot="discover"))
    assert chosen(candidates, new, customer=customer) == ["i0", "i1", "i9", "i8"]
    assert chosen(candidates, new) == ["i0", "i1", "i2", "i3"]  # to somebody who bought nothing, all are new
    of_some = Promote(name="p", share=0.5, slot="discover", items=ItemFilter(stock_codes=("i0", "i8")))
    assert chosen(candidates, in_force(of_some), customer=customer) == ["i0", "i1", "i2", "i8"]
    known = in_force(Promote(name="known", share=0.25, slot="replenish"))
    assert chosen(ranking("i9", "i8", "i7", "i6", "i1", "i0"), known, customer=customer) == ["i9", "i8", "i7", "i1"]
    absence = why_not("i2", candidates, customer, new, 4, unranked=unranked)
    assert (absence.verdict, absence.rank, [cause.rule for cause in absence.causes]) == ("made_room", 3, ["half new"])


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
