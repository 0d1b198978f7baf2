"""The inputs of the network equal the plain form of the same (``plain_view``), and so do the candidates."""

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.events.dates import DAY
from state.events.invoice import THOUSAND
from tests.unit.features.shop import shop_log
from tests.unit.serving.plain_view import STEPS, Bounds, PlainCustomer, PlainShop
from training.data.walk import StateReplay
from training.features.basket_lstm import i2i_scores, large_catalogue, text_similarity
from training.features.basket_lstm import view as module
from training.features.basket_lstm.candidates import history_vectors
from training.features.basket_lstm.customer_inputs import BASKET_INPUTS, CUSTOMER_INPUTS
from training.features.basket_lstm.customer_items import customer_items
from training.features.basket_lstm.flat_histories import flatten
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.i2i_scores import i2i_scores_by_customer
from training.features.basket_lstm.retrieval import RETRIEVAL_INPUTS, Retrieval, RetrievalIndex
from training.features.basket_lstm.view import CANDIDATE_INPUTS, STEP_INPUTS, View, build_view
from training.features.item_inputs import ItemSnapshot
from training.features.item_table import ItemTable
from training.features.item_to_item import Neighbours
from training.models.global_statistics import fit_global_statistics

LOG = [
    replace(
        invoice,
        lines=tuple(replace(line, unit_price=line.unit_price * (1 + number % 7 / 50)) for line in invoice.lines),
    )
    for number, invoice in enumerate(shop_log(170, customers=8))
]
NOW = LOG[-1].date + 2 * DAY + 5_000
UNSEEN = "00018"
"""In the item table, and not in the vocabulary."""
GONE = "gone"
"""In the vocabulary, and not in the item table."""
WEIGHTS = dict(zip(RETRIEVAL_INPUTS, np.random.default_rng(2).normal(size=len(RETRIEVAL_INPUTS)).tolist(), strict=True))
TOLERANCE = 1e-5
NEIGHBOURS = 12


def fitted() -> GlobalStatistics:
    """Statistics with short neighbour lists, of other items than the table has."""
    log = []
    for invoice in LOG[:150]:
        lines = [line for line in invoice.lines if line.stock_code != UNSEEN]
        lines += [replace(line, stock_code=GONE) for line in lines if line.stock_code == "00005"]
        log.append(replace(invoice, lines=tuple(lines)))
    found = fit_global_statistics(log, LOG[150].date)
    assert GONE in found.codes
    shorter = {}
    signs = np.random.default_rng(5).choice([-1.0, 1.0, 1.0], size=(len(found.codes), NEIGHBOURS)).astype(np.float32)
    for name, (neighbour, weight) in found.neighbours.items():
        strongest = np.abs(weight).argsort(axis=1)[:, -NEIGHBOURS:]
        weights = np.take_along_axis(weight, strongest, axis=1) * signs
        shorter[name] = Neighbours(np.take_along_axis(neighbour, strongest, axis=1), weights)
    return GlobalStatistics(found.codes, shorter, found.item_statistics, found.weeks, found.text)


STATISTICS = fitted()
SHOP = PlainShop(LOG, NOW, STATISTICS)


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG:
        replay.apply(invoice)
    return replay


def customers(replay: StateReplay) -> list[CustomerHistory]:
    """Long histories with returns, one with an item that is not in the table, and one of a single basket."""
    histories = list(replay.histories.values())
    of_one = replace(histories[0], customer_id="one basket", invoices=histories[0].invoices[:1])
    unknown = [
        HeldInvoice(
            f"z{n}", NOW - n * DAY // 3, (HeldLine("unknown", n * THOUSAND, 0.002), HeldLine("00007", 500, 1.0))
        )
        for n in (3, 2, 1)
    ]
    histories[1] = replace(histories[1], invoices=(*histories[1].invoices, *unknown))
    assert min(len(history.invoices) for history in histories) > STEPS
    assert any(line.quantity < 0 for history in histories for each in history.invoices for line in each.lines)
    return [*histories, of_one]


def order_of(items: ItemTable) -> dict[str, int]:
    return {code: row for row, code in enumerate([*items.codes, "unknown"])}


def differences(names: Sequence[str], found: np.ndarray, expected: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Inputs that differ, as found and as expected; 0 is expected of one that is not named."""
    assert expected.keys() <= set(names)
    both = {name: (value, expected.get(name, 0.0)) for name, value in zip(names, found.tolist(), strict=True)}
    return {
        name: pair for name, pair in both.items() if pair[0] != pytest.approx(pair[1], rel=TOLERANCE, abs=TOLERANCE)
    }


def check_inputs(view: View, histories: Sequence[CustomerHistory], items: ItemTable, bounds: Bounds) -> None:
    codes = [*items.codes, *view.unknown]
    for number, history in enumerate(histories):
        plain = PlainCustomer(history, SHOP, bounds)
        first = max(plain.n - STEPS, 0)
        shown = range(first, plain.n)
        assert not differences(CUSTOMER_INPUTS, view.customer_inputs[number], plain.customer_inputs)
        for basket in shown:
            row = view.basket_inputs[number, STEPS - plain.n + basket]
            assert not differences(BASKET_INPUTS, row, plain.basket_inputs(basket))
        assert not view.basket_inputs[number, : STEPS - len(shown)].any()
        candidates = np.flatnonzero(view.customer == number)
        held = {codes[view.row[each]] for each in candidates if view.is_held[each]}
        assert held <= set(plain.rows)
        assert {codes[view.row[each]] for each in candidates} - held <= set(items.codes) - set(plain.rows)
        for candidate in candidates:
            code = codes[view.row[candidate]]
            expected = (
                plain.purchase_inputs(code)
                | plain.statistic_inputs(code)
                | plain.i2i_inputs(code)
                | plain.text_inputs(code, order_of(items))
                | plain.baseline_inputs(code)
                | SHOP.item_inputs(code)
            )
            expected["log_price_over_customer_mean"] = SHOP.raw(code)["log_price"] - plain.mean_log_price
            assert not differences(CANDIDATE_INPUTS, view.candidate_inputs[candidate], expected), code
            for basket in shown:
                row = view.step_inputs[candidate, STEPS - plain.n + basket]
                assert not differences(STEP_INPUTS, row, plain.step_inputs(basket, code)), code
            assert not view.step_inputs[candidate, : STEPS - len(shown)].any()


@pytest.mark.parametrize("bounds", [Bounds(2_000, 1_000), Bounds(30, 9)], ids=["whole histories", "newest entries"])
def test_every_input_equals_the_plain_one(bounds: Bounds, replay: StateReplay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i2i_scores, "MAX_I2I_SOURCES", bounds.sources)
    monkeypatch.setattr(text_similarity, "MAX_NEAR", bounds.near)
    histories = customers(replay)
    retrieval = Retrieval(tuple(WEIGHTS.values()), max_repeat_candidates=12, max_new_candidates=8)
    view = build_view(histories, replay.items, NOW, STATISTICS, retrieval)

    assert replay.items.rows[UNSEEN] in view.row
    assert view.unknown == ["unknown"]
    assert len(replay.items) in view.row
    check_inputs(view, histories, replay.items, bounds)


def best(scores: dict[str, float], n: int, found: set[str]) -> bool:
    """Whether these are the ``n`` with the greatest scores, but for differences by rounding."""
    rest = [score for code, score in scores.items() if code not in found]
    least = min((scores[code] for code in found), default=np.inf)
    return len(found) == min(n, len(scores)) and least >= max(rest, default=-np.inf) - 1e-3


def test_the_candidates_are_those_of_the_plain_form(replay: StateReplay) -> None:
    histories = customers(replay)
    retrieval = Retrieval(tuple(WEIGHTS.values()), max_repeat_candidates=9, max_new_candidates=8)
    view = build_view(histories, replay.items, NOW, STATISTICS, retrieval)
    codes = [*replay.items.codes, *view.unknown]
    for number, history in enumerate(histories):
        plain = PlainCustomer(history, SHOP, Bounds(2_000, 1_000))
        of_customer = view.customer == number
        held, new = ({codes[row] for row in view.row[of_customer & (view.is_held == each)]} for each in (True, False))
        assert best({code: plain.decayed(code, 0.85) for code in plain.rows}, 9, held)
        others = set(replay.items.codes) - set(plain.rows)
        order = order_of(replay.items)
        assert best({code: plain.retrieval_score(code, order, WEIGHTS) for code in others}, 8, new)


def test_the_scores_that_candidates_are_chosen_by_equal_the_plain_ones(replay: StateReplay) -> None:
    histories, items = customers(replay), replay.items
    flat = flatten(histories, items)
    bought = customer_items(flat, NOW, len(items) + len(flat.unknown))
    binding = STATISTICS.bind(items)
    index_of_row = np.append(binding.index_of_row, len(STATISTICS.codes))
    weights = np.asarray(list(WEIGHTS.values()), np.float32)
    index = RetrievalIndex.of(ItemSnapshot.at(items, NOW, 1), index_of_row, binding.vectors, weights)
    similarities = history_vectors(bought, len(histories), binding.vectors) @ index.vectors.T
    of_customers = i2i_scores_by_customer(flat, bought, index_of_row, STATISTICS)
    for history, of_customer, similarity in zip(histories, of_customers, similarities, strict=True):
        plain = PlainCustomer(history, SHOP, Bounds(2_000, 1_000))
        expected = [plain.retrieval_score(code, order_of(items), WEIGHTS) for code in items.codes]
        found = index.scores(of_customer.scores, similarity, weights)
        assert found.tolist() == pytest.approx(expected, rel=TOLERANCE, abs=1e-4)  # of the root of scores near 0


def test_of_a_large_catalogue_candidates_and_inputs_are_those_of_the_plain_form(
    replay: StateReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leaders, and of each customer the neighbours with the best item-to-item part of the score."""
    neighbours, leaders = 7, np.arange(0, 60, 9)
    monkeypatch.setattr(module, "MAX_SCORED", 10)
    monkeypatch.setattr(large_catalogue, "MAX_NEIGHBOURS", neighbours)
    monkeypatch.setattr(ItemTable, "leaders", lambda items: leaders)
    histories = customers(replay)
    retrieval = Retrieval(tuple(WEIGHTS.values()), max_repeat_candidates=9, max_new_candidates=6)
    items = replay.items
    view = build_view(histories, items, NOW, STATISTICS, retrieval)

    assert len(items) in view.row
    check_inputs(view, histories, items, Bounds(2_000, 1_000))
    i2i = {name: weight for name, weight in WEIGHTS.items() if "i2i" in name}
    leading = {items.codes[row] for row in leaders.tolist()}
    followed = gone = 0
    for number, history in enumerate(histories):
        plain = PlainCustomer(history, SHOP, Bounds(2_000, 1_000))
        lists = STATISTICS.neighbours.values()
        reached = {
            STATISTICS.codes[each]
            for code in plain.rows
            if code in SHOP.index
            for one in lists
            for each in one.neighbour[SHOP.index[code]].tolist()
        }
        gone += GONE in reached
        reached = (reached & set(items.codes)) - leading - set(plain.rows)
        order = order_of(items)
        part = {code: plain.retrieval_score(code, order, i2i) for code in reached}
        near = set(sorted(part, key=part.__getitem__)[-neighbours:])
        scored = (leading | near) - set(plain.rows)
        found = {items.codes[row] for row in view.row[(view.customer == number) & ~view.is_held]}
        assert best({code: plain.retrieval_score(code, order, WEIGHTS) for code in scored}, 6, found)
        followed += len(found - leading)
    assert followed > len(histories)
    assert gone
