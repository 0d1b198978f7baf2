from datetime import UTC, time
from zoneinfo import ZoneInfo

import msgspec
import pytest

from state.domain.recommendation import AppliedRules, Item, NextPurchase, Reason, Recommendation, RuleAction
from state.events.catalogue import CatalogueItem
from stream.pipeline.catalogue_changes import CatalogueChanges
from stream.pipeline.refresh_plan import (
    Shard,
    Target,
    Walk,
    cause_of,
    decode_shard,
    differs,
    encode_shard,
    is_touched,
    last_daily,
    may_resume,
)
from tests.contract.events import recommendation

NOW = 1_323_435_000  # 2011-12-09T12:50
TARGET = Target("m/2", "3:0,1", "2011-12-09", "2011-12-09T10:00:00Z")
REACHED = Shard(TARGET, {0: 5})


def changed(one: Recommendation, **fields: object) -> Recommendation:
    return msgspec.structs.replace(one, **fields)


def item(one: Item, **fields: object) -> Item:
    return msgspec.structs.replace(one, **fields)


@pytest.mark.parametrize(
    ("reached", "cause"),
    [
        ({}, None),
        ({"model": "m/1"}, "model"),
        ({"model": "m/3"}, "model"),  # rolled back
        ({"rules": "2:0"}, "rules"),
        ({"rules": "3:0"}, "rules"),  # a rule began
        ({"day": "2011-12-08"}, "daily"),
        ({"day": "2011-12-10"}, None),  # another worker's clock is ahead
        ({"asked": ""}, "asked"),
        ({"asked": "2011-12-09T11:00:00Z"}, None),  # the request was lost with Redis
        ({"model": "m/1", "rules": "", "day": "", "asked": ""}, "asked"),
    ],
)
def test_a_refresh_is_due_where_the_target_is_another_one(reached: dict[str, str], cause: str | None) -> None:
    shard = Shard(msgspec.structs.replace(TARGET, **reached), {})
    assert cause_of(shard, TARGET, fallback="f/1", catalogue_changed=False) == cause


def test_a_change_of_the_catalogue_is_due_last() -> None:
    assert cause_of(REACHED, TARGET, fallback="f/1", catalogue_changed=True) == "catalogue"
    behind = Shard(msgspec.structs.replace(TARGET, model="m/1"), {})
    assert cause_of(behind, TARGET, fallback="f/1", catalogue_changed=True) == "model"


def test_the_fallback_refreshes_only_what_it_made() -> None:
    fallback = msgspec.structs.replace(TARGET, model="f/1")
    asked = msgspec.structs.replace(fallback, asked="2011-12-09T12:00:00Z")
    assert cause_of(REACHED, asked, fallback="f/1", catalogue_changed=True) is None
    assert cause_of(Shard(fallback, {}), asked, fallback="f/1", catalogue_changed=True) == "asked"


def test_a_refresh_that_was_left_half_done_is_due_for_any_target() -> None:
    walk = Walk("model", msgspec.structs.replace(TARGET, model="m/3"), {}, 8, 0.0, position="c5")
    assert cause_of(Shard(TARGET, {}, walk), TARGET, fallback="f/1", catalogue_changed=False) == "model"
    not_begun = msgspec.structs.replace(walk, position="")
    assert cause_of(Shard(TARGET, {}, not_begun), TARGET, fallback="f/1", catalogue_changed=False) is None
    after_another = msgspec.structs.replace(walk, position="", mixed=True)
    assert cause_of(Shard(TARGET, {}, after_another), TARGET, fallback="f/1", catalogue_changed=False) == "model"


def test_a_refresh_goes_on_for_the_same_target_and_partitions() -> None:
    walk = Walk("model", TARGET, {}, 8, 0.0)
    assert may_resume(walk, TARGET, 8)
    assert not may_resume(walk, TARGET, 12)
    assert not may_resume(walk, msgspec.structs.replace(TARGET, rules=""), 8)


def test_a_record_is_read_as_it_was_written() -> None:
    shard = Shard(TARGET, {0: 5, 3: 7}, Walk("catalogue", TARGET, {0: 6}, 8, 1.5, True, "c\u0000é", 9, 4, 1))
    assert decode_shard(encode_shard(shard)) == shard
    assert decode_shard(b"{}") is None
    assert decode_shard(b"\xff") is None


@pytest.mark.parametrize(
    ("seconds", "zone", "day"),
    [
        (NOW, "UTC", "2011-12-09"),
        (NOW - 12 * 3_600, "UTC", "2011-12-08"),  # 00:50
        (NOW - 9 * 3_600 - 3_000, "UTC", "2011-12-09"),  # 03:00
        (NOW - 9 * 3_600 - 3_001, "UTC", "2011-12-08"),
        (NOW - 12 * 3_600, "Asia/Tokyo", "2011-12-09"),  # 09:50 there
    ],
)
def test_the_day_begins_at_the_time_of_the_refresh(seconds: int, zone: str, day: str) -> None:
    assert last_daily(seconds, time(3), ZoneInfo(zone)) == day
    assert last_daily(seconds, None, UTC) == ""


def test_only_differences_that_a_reader_would_see_are_sent() -> None:
    last = recommendation("c", 1, "A", "B")
    a, b = last.items
    due = last.next_purchase
    same = [
        last,
        changed(last, revision=2, rec_id="other", generated_at="2011-12-10T00:00:00Z"),
        changed(last, model=msgspec.structs.replace(last.model, version="newer")),
        changed(last, valid_until="2012-01-20T00:00:00Z"),
        changed(last, items=[item(a, probability=a.probability + 0.04), b]),
        changed(last, items=[item(a, reason=Reason("bought_before", {"times": 9})), b]),
        changed(last, next_purchase=NextPurchase({"7": 0.24, "30": 0.5}, "2011-12-21", "2012-01-09", None)),
        changed(last, rules=AppliedRules(9, ())),
    ]
    assert [differs(one, last, NOW) for one in same] == [False] * len(same)
    different = [
        changed(last, items=[b, a]),
        changed(last, items=[a]),
        changed(last, items=[]),
        changed(last, items=[item(a, description="renamed"), b]),
        changed(last, items=[item(a, slot="discover"), b]),
        changed(last, items=[item(a, reason=Reason("bought_regularly", a.reason.evidence)), b]),
        changed(last, items=[item(a, probability=a.probability + 0.06), b]),
        changed(last, next_purchase=msgspec.structs.replace(due, within_days={"7": 0.26, "30": 0.5})),
        changed(last, next_purchase=msgspec.structs.replace(due, median="2012-01-10")),
        changed(last, next_purchase=msgspec.structs.replace(due, latest="2012-03-01")),
        changed(last, next_purchase=msgspec.structs.replace(due, earliest=None)),
    ]
    assert [differs(one, last, NOW) for one in different] == [True] * len(different)
    assert differs(last, None, NOW)


def test_a_list_that_ends_before_the_next_day_is_sent_where_that_makes_it_longer() -> None:
    last = changed(recommendation("c", 1), valid_until="2011-12-10T13:00:00Z")
    assert differs(changed(last, valid_until="2012-01-09T00:00:00Z"), last, NOW)
    assert not differs(last, last, NOW), "an event time that stands still, or lists valid for a day"


def test_an_item_touches_the_lists_that_have_it_and_those_it_was_removed_from() -> None:
    one = changed(
        recommendation("c", 1, "A", "B"), rules=AppliedRules(1, (RuleAction("out_of_stock", "catalogue", ("C",)),))
    )
    assert [is_touched(one, {code}) for code in "ABCD"] == [True, True, True, False]
    assert not is_touched(None, {"A"})
    assert not is_touched(one, set())


def test_changes_of_the_catalogue_are_found_by_their_position_in_the_topic() -> None:
    changes = CatalogueChanges()
    first = CatalogueItem("A", stock=5.0, price=1.0, updated=1)
    changes.note("A", 0, 10, None, first)
    assert changes.since({}) == changes.since({0: 10}) == {"A"}
    position = changes.positions()
    assert position == {0: 11}
    assert changes.since(position) == set()
    changes.note("A", 0, 11, first, CatalogueItem("A", stock=4.0, price=2.0, updated=2))
    assert changes.since(position) == set(), "no list depends on how many there are, or on the price"
    changes.note("A", 0, 12, first, CatalogueItem("A", stock=0.0))
    changes.note("B", 2, 0, None, CatalogueItem("B"))
    changes.note("C", 2, 1, CatalogueItem("C"), None)
    assert changes.since(position) == {"A", "B", "C"}
    assert changes.positions() == {0: 13, 2: 2}


def test_items_that_go_on_or_off_sale_are_found_by_the_time() -> None:
    changes = CatalogueChanges()
    first = CatalogueItem("A", on_sale_from=100, on_sale_until=200)
    changes.note("A", 0, 0, None, first)
    changes.note("B", 0, 1, None, CatalogueItem("B", on_sale_until=150))
    changes.note("C", 0, 2, None, CatalogueItem("C"))
    assert changes.on_or_off_sale(0, 99) == set()
    assert changes.on_or_off_sale(0, 100) == {"A"}
    assert changes.on_or_off_sale(100, 149) == set()
    assert changes.on_or_off_sale(100, 150) == {"B"}
    assert changes.on_or_off_sale(0, 1_000) == {"A", "B"}
    changes.note("A", 0, 3, first, CatalogueItem("A", on_sale_until=300))
    assert changes.on_or_off_sale(0, 200) == {"B"}
    changes.note("A", 0, 4, CatalogueItem("A", on_sale_until=300), None)
    assert changes.on_or_off_sale(0, 1_000) == {"B"}
