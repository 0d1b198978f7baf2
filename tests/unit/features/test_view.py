"""The view: the same in training and service, finite for any history, and checked by hand for a small one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine, baskets
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Line
from state.settings import load_settings
from state.store.memory import MemoryStore
from tests.unit.features.shop import START, history, shop_log
from training.data.walk import walk
from training.features.basket_lstm.candidates import explaining_items
from training.features.basket_lstm.customer_inputs import BASKET_INPUTS, CUSTOMER_INPUTS
from training.features.basket_lstm.customer_item_inputs import CUSTOMER_ITEM_INPUTS
from training.features.basket_lstm.flat_histories import STEPS, flatten
from training.features.basket_lstm.global_statistics import I2I_VARIANTS, ITEM_STATISTICS, GlobalStatistics
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import CANDIDATE_INPUTS, View, build_view
from training.features.basket_lstm.weekly_demand import WeeklyDemand
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours
from training.features.text import TermVectors
from training.models.global_statistics import fit_global_statistics

LOG = shop_log(240)
UNTIL = LOG[160].date
STATISTICS = fit_global_statistics(LOG, UNTIL)
NAMES = list(CANDIDATE_INPUTS)

ARRAYS = ("candidate_inputs", "customer_inputs", "step_inputs", "basket_inputs", "length", "is_held", "customer")


def shop_at(position: int) -> ItemTable:
    items = ItemTable()
    for invoice in LOG[:position]:
        items.sell(invoice.lines, invoice.date)
    return items


def by_code(view: View, items: ItemTable) -> dict[str, int]:
    codes = [*items.codes, *view.unknown]
    return {codes[row]: position for position, row in enumerate(view.row)}


def test_training_and_service_compute_the_same_inputs() -> None:
    """The walk over the log against the store's own history and item states, which arrive in another order."""
    checked = 0
    for moment in walk(LOG, moment="visit", start=UNTIL, end=LOG[-1].date, window=100):
        if moment.position % 20:
            continue
        store = MemoryStore(load_settings({}))
        store.apply(LOG[: moment.position], clock_ms=1)
        served = store.history(moment.history.customer_id)
        assert served is not None
        items = ItemTable(reversed(list(store.items().states.values())))
        trained = build_view([moment.history], moment.items, moment.now, STATISTICS)
        seen = build_view([served], items, moment.now, STATISTICS)

        here, there = by_code(trained, moment.items), by_code(seen, items)
        assert here.keys() == there.keys()
        order = [there[code] for code in here]
        np.testing.assert_allclose(trained.candidate_inputs, seen.candidate_inputs[order], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(trained.step_inputs, seen.step_inputs[order], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(trained.customer_inputs, seen.customer_inputs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(trained.basket_inputs, seen.basket_inputs, rtol=1e-5, atol=1e-6)
        checked += 1
    assert checked >= 3


def test_a_batch_equals_its_customers_one_by_one() -> None:
    store = MemoryStore(load_settings({}))
    store.apply(LOG[:200], clock_ms=1)
    items, now = ItemTable(store.items().states.values()), LOG[199].date
    several = [*store.histories(), CustomerHistory("nobody")]
    together = build_view(several, items, now, STATISTICS)

    for number, one in enumerate(several):
        alone = build_view([one], items, now, STATISTICS)
        of_customer = together.customer == number
        np.testing.assert_array_equal(together.row[of_customer], alone.row)
        np.testing.assert_allclose(together.candidate_inputs[of_customer], alone.candidate_inputs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(together.step_inputs[of_customer], alone.step_inputs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(together.customer_inputs[number], alone.customer_inputs[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(together.basket_inputs[number], alone.basket_inputs[0])


def test_a_small_history_by_hand() -> None:
    items = ItemTable()
    items.sell([Line("a", THOUSAND, 2.0), Line("b", THOUSAND, 1.0), Line("c", THOUSAND, 4.0)], START)
    ann = history((START, {"a": 3, "b": 1}), (START + 10 * DAY, {"a": 1}), (START + 30 * DAY, {"b": -1, "a": 2}))
    view = build_view([ann], items, START + 40 * DAY, STATISTICS)
    at = by_code(view, items)
    a = dict(zip(NAMES, view.candidate_inputs[at["a"]].tolist(), strict=True))
    b = dict(zip(NAMES, view.candidate_inputs[at["b"]].tolist(), strict=True))
    customer_inputs = dict(zip(CUSTOMER_INPUTS, view.customer_inputs[0].tolist(), strict=True))

    assert view.is_held.tolist() == [code == "a" for code in at]
    assert a["log_count"] == pytest.approx(np.log(4))
    assert a["count_per_basket"] == 1.0
    assert a["log_days_since_last"] == pytest.approx(np.log(11))
    assert a["decayed_count"] == pytest.approx(1 + 0.85 + 0.85**2)
    assert a["days_since_last_over_gap"] == pytest.approx(np.log(11 / 16))
    assert a["price_now_over_last"] == pytest.approx(np.log(2.0))
    assert (a["returned"], b["returned"], b["bought_before"]) == (0.0, 1.0, 0.0)
    assert [b[name] for name in CUSTOMER_ITEM_INPUTS[:-1]] == [0.0] * (len(CUSTOMER_ITEM_INPUTS) - 1)
    assert customer_inputs["log_baskets"] == pytest.approx(np.log(4))
    assert customer_inputs["log_mean_gap"] == pytest.approx(np.log(16))
    assert customer_inputs["log_returned_items"] == pytest.approx(np.log(2))
    assert customer_inputs["repeat_share"] == pytest.approx(2 / 3)
    assert view.length.tolist() == [3]
    assert view.step_inputs[at["a"], :, 0].tolist() == [0.0] * (STEPS - 3) + [1.0] * 3
    days = view.basket_inputs[0, -3:, BASKET_INPUTS.index("log_days_ago")]
    np.testing.assert_allclose(days, np.log([41, 31, 11]), rtol=1e-6)


HUGE = CustomerHistory(
    "huge",
    tuple(
        HeldInvoice(f"{n:03d}", n * DAY, tuple(HeldLine(f"x{n}-{k}", THOUSAND, 1.0) for k in range(1000)))
        for n in range(100)
    ),
)
HISTORIES = {
    "no history": CustomerHistory("nobody"),
    "everything returned": history((START, {"00001": 2}), (START + 1, {"00001": -2})),
    "returns only": history((START, {"00001": -2})),
    "one basket": history((START, {"00001": 2, "00002": 1})),
    "200 baskets": history(*((START + number * DAY, {f"{number % 60:05d}": 1}) for number in range(200))),
    "never trained on": history((START, {"new": 1, "newer": 5})),
    "1900": history((-2_208_988_800, {"00001": 1}), (START, {"00002": 1})),
    "2100": history((START, {"00001": 1}), (4_102_444_800, {"00002": 1})),
    "dear": history((START, {"00001": 10_000_000}), price=1e7),
    "cheap": history((START, {"00001": 1}), price=1e-9),
    "100,000 lines": HUGE,
}


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("items", [shop_at(200), ItemTable()], ids=["shop", "empty"])
@pytest.mark.parametrize("statistics", [STATISTICS, fit_global_statistics([], 0)], ids=["fitted", "empty"])
def test_inputs_are_finite_and_moderate(name: str, items: ItemTable, statistics: GlobalStatistics) -> None:
    view = build_view([HISTORIES[name]], items, LOG[199].date, statistics)

    for array in ARRAYS:
        values = getattr(view, array)
        assert np.isfinite(values).all(), array
        assert np.abs(values, dtype=np.float64).max(initial=0.0) < 100.0, array
    assert len(view.row) <= Retrieval().max_repeat_candidates + Retrieval().max_new_candidates
    assert len(set(view.row.tolist())) == len(view.row)


held_lines = st.lists(
    st.builds(HeldLine, st.sampled_from("abc"), st.sampled_from([-1500, -1000, 500, 1000, 2000]), st.just(1.0)),
    min_size=1,
    max_size=4,
)


@given(st.lists(held_lines, max_size=6))
def test_flat_histories_equal_the_net_baskets(invoices: list[list[HeldLine]]) -> None:
    """Netting item by item against ``state.domain.history.baskets`` of the whole history, with every kind of return.

    Their order decides which entries count where a customer has more than ``MAX_I2I_SOURCES``.
    """
    held = tuple(HeldInvoice(str(n), START + n * DAY, tuple(lines)) for n, lines in enumerate(invoices))
    ann = CustomerHistory("ann", held)
    bob = CustomerHistory("bob", tuple(replace(invoice, lines=invoice.lines[::-1]) for invoice in held))
    flat = flatten([ann, bob], ItemTable())
    found: list[dict[str, float]] = [{} for _ in flat.basket_date]
    for basket, row, quantity in zip(flat.entry_basket, flat.entry_row, flat.quantity, strict=True):
        found[basket][flat.unknown[row]] = quantity

    returned = {line.stock_code for invoice in held for line in invoice.lines if line.quantity < 0}
    expected, orders = [], []
    for customer in (ann, bob):
        net = baskets(customer)
        lines = {invoice.date: [line.stock_code for line in invoice.lines] for invoice in customer.invoices}
        expected += net
        orders += [
            [code for code in dict.fromkeys(lines[basket.date]) if code not in returned]
            + sorted(returned.intersection(basket.items))
            for basket in net
        ]
    assert flat.basket_date.tolist() == [basket.date for basket in expected]
    for items, basket, order in zip(found, expected, orders, strict=True):
        assert items == pytest.approx({code: quantity / THOUSAND for code, quantity in basket.items.items()})
        assert list(items) == order


def test_the_item_with_the_greatest_weight_explains_a_recommendation() -> None:
    # The weights for c are .5 from a and .4 from b.
    neighbours = Neighbours(np.asarray([[2], [2], [0]], np.int32), np.asarray([[0.5], [0.4], [0.1]], np.float32))
    statistics = GlobalStatistics(
        ["a", "b", "c"],
        dict.fromkeys(I2I_VARIANTS, neighbours),
        np.zeros((4, len(ITEM_STATISTICS)), np.float32),
        WeeklyDemand(0, np.zeros((1, 4), np.float32)),
        TermVectors.empty(),
    )
    items, bought = np.asarray([2, 0, 3]), np.asarray([0, 1, 3])
    once, b_twice = np.asarray([1.0, 1.0, 9.0], np.float32), np.asarray([1.0, 2.0, 9.0], np.float32)

    assert explaining_items(items, bought, once, statistics).tolist() == [0, -1, -1]
    assert explaining_items(items, bought, b_twice, statistics).tolist() == [1, -1, -1]
