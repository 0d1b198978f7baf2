import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.domain.items import record_sale
from state.domain.recommendation import Model, Trigger
from state.events.dates import DAY, LAST, to_iso
from state.store.protocol import CustomerUpdate
from stream.pipeline.recommendations import (
    Moment,
    days_until,
    is_unchanged,
    next_purchase,
    rec_id,
    recommend,
)
from training.features.item_table import ItemTable
from training.serving.scorer import HORIZONS, Candidate, Prediction

NOW = 1_323_435_000  # 2011-12-09T12:50:00Z
CURVE = (0.05, 0.1, 0.3, 0.6, 0.7)


def held(number: str, date: int, *codes: str, quantity: int = 1_000) -> HeldInvoice:
    return HeldInvoice(number, date, tuple(HeldLine(code, quantity, 1.0) for code in codes))


def touched(*invoices: HeldInvoice, revision: int = 5) -> CustomerUpdate:
    return CustomerUpdate(CustomerHistory("7", invoices), revision, 0, True, None, [])


def moment(*codes: str, most: int = 10, version: str = "v") -> Moment:
    items = ItemTable(record_sale(None, code, NOW - DAY, 1.0, f"ITEM {code}") for code in codes)
    return Moment(NOW, to_iso(NOW), Model("m", version), items, items.demand(NOW), 30, most)


def prediction(*candidates: tuple[str, float], curve: tuple[float, ...] = CURVE) -> Prediction:
    return Prediction([Candidate(code, chance) for code, chance in candidates], curve)


def test_slots_and_reasons_come_from_the_history() -> None:
    customer = touched(
        held("1", 100, "A", "B"), held("2", 200, "A"), held("3", 300, "A"), held("4", 400, "B", quantity=-1)
    )
    candidates = [Candidate("A", 0.5), Candidate("B", 0.4), Candidate("C", 0.3, because="A"), Candidate("D", 0.2)]
    answer = recommend(customer, Prediction(candidates, CURVE), Trigger(), moment("A", "B", "C", "D"))
    assert answer is not None
    assert [(item.slot, item.reason.code, item.reason.evidence) for item in answer.items] == [
        ("replenish", "bought_regularly", {"times": 3, "last": "1970-01-01T00:05:00Z"}),
        ("replenish", "bought_before", {"times": 1, "last": "1970-01-01T00:01:40Z"}),
        ("discover", "bought_together", {"with": "A", "description": "ITEM A"}),
        ("discover", "in_demand", {"baskets": 0.9, "half_life_days": 7}),
    ]


def test_what_was_returned_was_bought_before() -> None:
    customer = touched(held("1", 100, "A"), held("2", 200, "A", quantity=-1_000))
    answer = recommend(customer, prediction(("A", 0.5)), Trigger(), moment("A"))
    assert answer is not None
    assert answer.items[0].slot == "replenish"


def test_no_more_items_than_asked_and_none_without_candidates() -> None:
    three = prediction(("A", 0.5), ("B", 0.4), ("C", 0.3))
    answer = recommend(touched(), three, Trigger(), moment("A", "B", "C", most=2))
    assert answer is not None
    assert [item.stock_code for item in answer.items] == ["A", "B"]
    assert recommend(touched(), prediction(), Trigger(), moment("A")) is None


def test_an_item_that_no_table_knows_has_no_description() -> None:
    answer = recommend(touched(), prediction(("X", 0.5)), Trigger(), moment("A"))
    assert answer is not None
    assert answer.items[0].description is None
    assert answer.items[0].reason.evidence == {"baskets": 0.0, "half_life_days": 7}


def test_dates_are_where_the_curve_passes_10_50_and_90_percent() -> None:
    due = next_purchase(CURVE, NOW)
    assert due.within_days == {"7": 0.05, "14": 0.1, "30": 0.3, "60": 0.6, "90": 0.7}
    assert due.earliest == "2011-12-23"  # day 14 exactly
    assert due.median == "2012-01-28"  # two thirds of the way from 30 to 60: day 50
    assert due.latest is None


@pytest.mark.parametrize(
    ("curve", "chance", "days"),
    [
        ((0.5, 0.5, 0.5, 0.5, 0.5), 0.5, 7.0),
        ((0.5, 0.5, 0.5, 0.5, 0.5), 0.25, 3.5),
        ((0.0, 0.0, 0.0, 0.0, 1.0), 0.5, 75.0),
        ((0.0, 0.0, 0.0, 0.0, 0.0), 0.1, None),
        ((1.0, 1.0, 1.0, 1.0, 1.0), 0.9, 6.3),
    ],
)
def test_days_until_a_chance_worked_by_hand(curve: tuple[float, ...], chance: float, days: float | None) -> None:
    assert days_until(curve, chance) == pytest.approx(days)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5).map(sorted))
def test_dates_rise_with_the_chance(curve: list[float]) -> None:
    days = [days_until(curve, chance / 20) for chance in range(1, 20)]
    known = [day for day in days if day is not None]
    assert known == sorted(known)
    assert days[: len(known)] == known
    assert all(0 < day <= HORIZONS[-1] for day in known)


def test_dates_at_the_end_of_time_stay_dates() -> None:
    assert next_purchase((0.9,) * 5, LAST).latest == "9999-12-31"


def test_an_identity_is_of_customer_revision_and_model() -> None:
    same = rec_id("7", 5, "v")
    assert same == rec_id("7", 5, "v")
    assert len({same, rec_id("8", 5, "v"), rec_id("7", 6, "v"), rec_id("7", 5, "w")}) == 4


def test_only_what_a_customer_would_notice_makes_an_answer_new() -> None:
    last = recommend(touched(), prediction(("A", 0.5), ("B", 0.4)), Trigger(), moment("A", "B"))
    assert last is not None
    later = recommend(touched(revision=6), prediction(("A", 0.6), ("B", 0.1)), Trigger("9"), moment("A", "B"))
    assert later is not None
    assert is_unchanged(later, last, NOW)
    assert not is_unchanged(later, None, NOW)
    assert not is_unchanged(later, last, NOW + 30 * DAY)
    for other in (
        recommend(touched(), prediction(("B", 0.5), ("A", 0.4)), Trigger(), moment("A", "B")),
        recommend(touched(), prediction(("A", 0.5)), Trigger(), moment("A", "B")),
        recommend(touched(), prediction(("A", 0.5), ("B", 0.4)), Trigger(), moment("A", "B", version="w")),
        recommend(touched(), prediction(("A", 0.5), ("B", 0.4), curve=(0.2,) * 5), Trigger(), moment("A", "B")),
    ):
        assert other is not None
        assert not is_unchanged(other, last, NOW)


def test_the_message_has_the_fields_of_the_contract_in_its_order() -> None:
    answer = recommend(touched(), prediction(("A", 0.123456789)), Trigger("1", "invoices", 3, 91), moment("A"))
    content = msgspec.json.decode(msgspec.json.encode(answer))
    assert list(content) == [
        "rec_id", "customer_id", "revision", "generated_at", "valid_until",
        "trigger", "model", "next_purchase", "items",
    ]  # fmt: skip
    assert content["trigger"] == {"invoice_no": "1", "topic": "invoices", "partition": 3, "offset": 91}
    assert list(content["next_purchase"]) == ["within_days", "earliest", "median", "latest"]
    assert list(content["items"][0]) == ["stock_code", "description", "probability", "slot", "reason"]
    assert content["items"][0]["probability"] == 0.123457
