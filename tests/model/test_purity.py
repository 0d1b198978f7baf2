"""Every scorer is a pure function: the same inputs give the same predictions, in any order, batch and state."""

from copy import deepcopy

import numpy as np
import pytest

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Line
from tests.unit.features.test_view import HISTORIES
from tests.unit.serving.scorers import SCORERS, copied, make_scorer, replayed
from tests.unit.serving.test_basket_scorer import LOG, NOW
from training.features.item_table import ItemTable
from training.model_table import MODEL_TABLE
from training.serving.load import fallback_scorer
from training.serving.scorer import Prediction, predict

K = 12
SERVED = [name for name, entry in MODEL_TABLE.items() if entry.loader is not None]
BATCHED = {"basket_lstm", "label_lstm", "frequent_lstm", "text_lstm", "hybrid", "content", "collaborative"}
"""Models that score a batch with float32 matrix products. BLAS adds in another order for another number of rows, or
where the operands lie otherwise in memory, so the last bits of their probabilities vary; all others are exact."""


@pytest.fixture(scope="module")
def items() -> ItemTable:
    return replayed().items


@pytest.fixture(scope="module")
def histories() -> list[CustomerHistory]:
    """More customers than a batch holds: those of the log, and every odd history there is."""
    several = [*replayed().histories.values(), *(HISTORIES[name] for name in HISTORIES if name != "100,000 lines")]
    few = [history for history in several if len(history.invoices) < 20]
    return several + [CustomerHistory(f"copy of {history.customer_id}", history.invoices) for history in few]


def assert_equal(found: list[Prediction], expected: list[Prediction], tolerance: float = 0.0) -> None:
    """The same items, explanations and numbers, these to an absolute tolerance."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert [(c.stock_code, c.source_item) for c in one.candidates] == [
            (c.stock_code, c.source_item) for c in other.candidates
        ]
        for values, wanted in (
            ([c.probability for c in one.candidates], [c.probability for c in other.candidates]),
            (one.return_curve, other.return_curve),
        ):
            np.testing.assert_allclose(values, wanted, rtol=0.0, atol=tolerance)


def tolerance_of(name: str) -> float:
    return 1e-6 if name in BATCHED else 0.0


def test_every_served_model_is_tested() -> None:
    assert SCORERS.keys() == set(SERVED)


@pytest.mark.parametrize("name", SERVED)
def test_a_repeated_call_gives_the_same_predictions(
    name: str, items: ItemTable, histories: list[CustomerHistory]
) -> None:
    scorer = make_scorer(name)
    first = scorer.predict(histories, items, NOW, K)

    assert len(histories) > 64
    assert_equal(scorer.predict(histories, items, NOW, K), first, tolerance_of(name))
    assert any(prediction.candidates for prediction in first)


@pytest.mark.parametrize("name", SERVED)
def test_further_candidates_continue_the_ranking(name: str, items: ItemTable, histories: list[CustomerHistory]) -> None:
    scorer = make_scorer(name)
    few = histories[:8]
    found = predict(scorer, few, items, NOW, 3, further=True)
    assert_equal(found, predict(scorer, few, items, NOW, 3, further=False), tolerance_of(name))
    for one in found:
        ranking = [*one.candidates, *one.further]
        assert len({each.stock_code for each in ranking}) == len(ranking)
        assert [each.probability for each in ranking] == sorted((each.probability for each in ranking), reverse=True)
    assert any(one.further for one in found)


@pytest.mark.parametrize("name", SERVED)
def test_the_order_of_customers_does_not_matter(name: str, items: ItemTable, histories: list[CustomerHistory]) -> None:
    scorer = make_scorer(name)
    expected = scorer.predict(histories, items, NOW, K)
    order = np.random.default_rng(1).permutation(len(histories)).tolist()
    found = scorer.predict([histories[position] for position in order], items, NOW, K)

    assert_equal(found, [expected[position] for position in order], tolerance_of(name))


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("name", SERVED)
def test_the_split_into_batches_does_not_matter(
    name: str, size: int, items: ItemTable, histories: list[CustomerHistory]
) -> None:
    scorer = make_scorer(name)
    found = [
        prediction
        for start in range(0, len(histories), size)
        for prediction in scorer.predict(histories[start : start + size], items, NOW, K)
    ]

    assert_equal(found, scorer.predict(histories, items, NOW, K), tolerance_of(name))


@pytest.mark.parametrize("name", SERVED)
def test_earlier_calls_leave_no_trace(name: str, items: ItemTable, histories: list[CustomerHistory]) -> None:
    """Of other customers, of another item table first, and at another time."""
    other = ItemTable()
    other.sell([Line("new", THOUSAND, 3.0, "MUG"), Line("00003", THOUSAND, 1.0)], NOW)
    scorer = make_scorer(name)
    scorer.predict(histories[:9], other, NOW + 90 * DAY, 5)
    scorer.predict(histories[5:20], items, NOW - 40 * DAY, 3)

    found = scorer.predict(histories, items, NOW, K)
    assert_equal(found, make_scorer(name).predict(histories, items, NOW, K), tolerance_of(name))


@pytest.mark.parametrize("name", SERVED)
def test_a_table_that_changes_is_read_anew(name: str, histories: list[CustomerHistory]) -> None:
    """New items, and new descriptions and attributes of items in and outside the vocabulary."""
    first = [Line("x", THOUSAND, 2.0, "ITEM 70"), Line("00001", THOUSAND, 2.0, "ITEM 1")]
    changes = [
        [Line("x", THOUSAND, 2.0, "MUG", attributes={"colour": "red"}), Line("y", THOUSAND, 1.0, "ITEM 71")],
        [Line("00001", 2 * THOUSAND, 9.0, "MUG", attributes={"colour": "blue"}), Line("z", THOUSAND, 1.0)],
        [Line("x", THOUSAND, 2.0, "ITEM 2", attributes={"colour": "blue"}), Line("00001", THOUSAND, 9.0, "ITEM 1")],
    ]
    scorer, items = make_scorer(name), replayed().items
    items.sell(first, NOW)
    scorer.predict(histories[:5], items, NOW, K)
    for day, lines in enumerate(changes, start=1):
        items.sell(lines, NOW + day * DAY)
        now = NOW + day * DAY

        expected = make_scorer(name).predict(histories, items, now, K)
        assert_equal(scorer.predict(histories, items, now, K), expected, tolerance_of(name))


@pytest.mark.parametrize("name", SERVED)
def test_no_input_is_changed(name: str, items: ItemTable, histories: list[CustomerHistory]) -> None:
    before, columns = deepcopy(histories), copied(items)
    make_scorer(name).predict(histories, items, NOW, K)

    assert histories == before
    assert copied(items) == columns


@pytest.mark.parametrize("name", [name for name in SERVED if name != "random"])  # no scores are equal
def test_items_of_equal_score_come_by_stock_code(name: str) -> None:
    """Whatever the order in which the items were met: two workers meet them differently."""
    codes = [f"tied-{number}" for number in range(30)]
    tables = [ItemTable() for _ in range(2)]
    for table, order in zip(tables, (codes, codes[::-1]), strict=True):
        for code in order:
            table.sell([Line(code, THOUSAND, 2.0)], NOW)
    scorer, customers = make_scorer(name), [CustomerHistory("new")]
    one, other = (
        [item.stock_code for item in scorer.predict(customers, table, NOW, 7)[0].candidates] for table in tables
    )
    assert one == other == sorted(codes)[:7]


def test_the_fallback_is_count_demand(items: ItemTable, histories: list[CustomerHistory]) -> None:
    found = fallback_scorer().predict(histories, items, NOW, K)

    assert_equal(found, make_scorer("count_demand").predict(histories, items, NOW, K))


def test_the_log_reaches_up_to_the_time_of_prediction() -> None:
    assert LOG[-1].date == NOW
