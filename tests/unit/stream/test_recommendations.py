import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.domain.items import record_sale
from state.domain.recommendation import ModelVersion, Trigger
from state.events.dates import DAY, LAST, to_iso
from state.store.protocol import CustomerUpdate
from stream.pipeline.recommendations import (
    BatchContext,
    days_until,
    is_unchanged,
    next_purchase,
    rec_id,
    recommend,
)
from training.features.item_table import ItemTable
from training.serving.scorer import HORIZONS, Candidate, Prediction

NOW = 1_323_435_000  # 2011-12-09T12:50:00Z
MODEL = ModelVersion("m", "v")
CURVE = (0.05, 0.1, 0.3, 0.6, 0.7)


def held(number: str, date: int, *codes: str, quantity: int = 1_000) -> HeldInvoice:
    return HeldInvoice(number, date, tuple(HeldLine(code, quantity, 1.0) for code in codes))


def update(*invoices: HeldInvoice, revision: int = 5) -> CustomerUpdate:
    return CustomerUpdate(CustomerHistory("7", invoices), revision, 0, True, None, [])


def context(*codes: str, top_k: int = 10) -> BatchContext:
    items = ItemTable(record_sale(None, code, NOW - DAY, 1.0, f"ITEM {code}") for code in codes)
    return BatchContext(NOW, to_iso(NOW), items, items.decayed_demand(NOW), 30, top_k)


def prediction(*candidates: tuple[str, float], curve: tuple[float, ...] = CURVE) -> Prediction:
    return Prediction([Candidate(code, chance) for code, chance in candidates], curve)


def test_slots_and_reasons_follow_from_the_history() -> None:
    customer = update(
        held("1", 100, "A", "B"), held("2", 200, "A"), held("3", 300, "A"), held("4", 400, "B", quantity=-1)
    )
    candidates = [Candidate("A", 0.5), Candidate("B", 0.4), Candidate("C", 0.3, source_item="A"), Candidate("D", 0.2)]
    recommendation = recommend(customer, Prediction(candidates, CURVE), MODEL, Trigger(), context("A", "B", "C", "D"))
    assert recommendation is not None
    assert [(item.slot, item.reason.code, item.reason.evidence) for item in recommendation.items] == [
        ("replenish", "bought_regularly", {"times": 3, "last": "1970-01-01T00:05:00Z"}),
        ("replenish", "bought_before", {"times": 1, "last": "1970-01-01T00:01:40Z"}),
        ("discover", "bought_together", {"with": "A", "description": "ITEM A"}),
        ("discover", "in_demand", {"baskets": 0.9, "half_life_days": 7}),
    ]


def test_a_returned_item_counts_as_bought_before() -> None:
    customer = update(held("1", 100, "A"), held("2", 200, "A", quantity=-1_000))
    recommendation = recommend(customer, prediction(("A", 0.5)), MODEL, Trigger(), context("A"))
    assert recommendation is not None
    assert recommendation.items[0].slot == "replenish"


def test_at_most_top_k_items_and_no_recommendation_without_candidates() -> None:
    three = prediction(("A", 0.5), ("B", 0.4), ("C", 0.3))
    recommendation = recommend(update(), three, MODEL, Trigger(), context("A", "B", "C", top_k=2))
    assert recommendation is not None
    assert [item.stock_code for item in recommendation.items] == ["A", "B"]
    assert recommend(update(), prediction(), MODEL, Trigger(), context("A")) is None


def test_an_item_missing_in_the_table_has_no_description() -> None:
    recommendation = recommend(update(), prediction(("X", 0.5)), MODEL, Trigger(), context("A"))
    assert recommendation is not None
    assert recommendation.items[0].description is None
    assert recommendation.items[0].reason.evidence == {"baskets": 0.0, "half_life_days": 7}


def test_due_dates_are_where_the_curve_reaches_10_50_and_90_percent() -> None:
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


def test_due_dates_end_in_the_year_9999() -> None:
    assert next_purchase((0.9,) * 5, LAST).latest == "9999-12-31"


def test_a_rec_id_depends_on_customer_revision_and_model_version() -> None:
    same = rec_id("7", 5, "v")
    assert same == rec_id("7", 5, "v")
    assert len({same, rec_id("8", 5, "v"), rec_id("7", 6, "v"), rec_id("7", 5, "w")}) == 4


def test_unchanged_means_same_items_due_dates_and_model_and_still_valid() -> None:
    last = recommend(update(), prediction(("A", 0.5), ("B", 0.4)), MODEL, Trigger(), context("A", "B"))
    assert last is not None
    later = recommend(update(revision=6), prediction(("A", 0.6), ("B", 0.1)), MODEL, Trigger("9"), context("A", "B"))
    assert later is not None
    assert is_unchanged(later, last, NOW)
    assert not is_unchanged(later, None, NOW)
    assert not is_unchanged(later, last, NOW + 30 * DAY)
    for other in (
        recommend(update(), prediction(("B", 0.5), ("A", 0.4)), MODEL, Trigger(), context("A", "B")),
        recommend(update(), prediction(("A", 0.5)), MODEL, Trigger(), context("A", "B")),
        recommend(update(), prediction(("A", 0.5), ("B", 0.4)), ModelVersion("m", "w"), Trigger(), context("A", "B")),
        recommend(update(), prediction(("A", 0.5), ("B", 0.4), curve=(0.2,) * 5), MODEL, Trigger(), context("A", "B")),
    ):
        assert other is not None
        assert not is_unchanged(other, last, NOW)


def test_the_message_has_the_fields_of_the_contract_in_its_order() -> None:
    recommendation = recommend(
        update(), prediction(("A", 0.123456789)), MODEL, Trigger("1", "invoices", 3, 91), context("A")
    )
    content = msgspec.json.decode(msgspec.json.encode(recommendation))
    assert list(content) == [
        "rec_id", "customer_id", "revision", "generated_at", "valid_until",
        "trigger", "model", "next_purchase", "items",
    ]  # fmt: skip
    assert content["trigger"] == {"invoice_no": "1", "topic": "invoices", "partition": 3, "offset": 91}
    assert list(content["next_purchase"]) == ["within_days", "earliest", "median", "latest"]
    assert list(content["items"][0]) == ["stock_code", "description", "probability", "slot", "reason"]
    assert content["items"][0]["probability"] == 0.123457
