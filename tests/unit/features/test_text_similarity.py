"""Text similarity, item statistics and baseline scores against slow references written from the model card."""

import numpy as np
import pytest

from state.domain.items import HALF_LIVES
from state.events.invoice import THOUSAND
from tests.unit.features.shop import shop_log
from training.data.walk import StateReplay
from training.features.basket_lstm.customer_items import BASKET_DECAY, SLOW_BASKET_DECAY
from training.features.basket_lstm.flat_histories import STEPS
from training.features.basket_lstm.global_statistics import CUSTOMERS
from training.features.basket_lstm.i2i_scores import I2I_CANDIDATE_INPUTS
from training.features.basket_lstm.text_similarity import TEXT_INPUTS
from training.features.basket_lstm.view import (
    BASELINE_INPUTS,
    CANDIDATE_INPUTS,
    ITEM_STATISTIC_INPUTS,
    STEP_INPUTS,
    View,
    build_view,
)
from training.features.item_to_item import ease
from training.models.global_statistics import BASKETS_RIDGE, NEIGHBOURS, fit_global_statistics

LOG = shop_log(240)
NOW = LOG[-1].date
STATISTICS = fit_global_statistics(LOG, NOW)


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG:
        replay.apply(invoice)
    return replay


def net_baskets(replay: StateReplay, customer: str) -> list[list[str]]:
    """Stock codes of each basket, oldest first, without returned items."""
    view = build_view([replay.histories[customer]], replay.items, NOW, STATISTICS)
    bought_items = {replay.items.codes[row] for row in view.customer_items.row}
    baskets = [[line.stock_code for line in invoice.lines] for invoice in replay.histories[customer].invoices]
    return [[code for code in basket if code in bought_items] for basket in baskets]


def column(view: View, name: str) -> np.ndarray:
    return view.candidate_inputs[:, CANDIDATE_INPUTS.index(name)]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def without_returns(replay: StateReplay) -> list[str]:
    """Customers without returns: their baskets are their invoices."""
    return [
        name
        for name, history in replay.histories.items()
        if all(line.quantity > 0 for invoice in history.invoices for line in invoice.lines)
    ]


def test_descriptions_are_compared_one_by_one(replay: StateReplay) -> None:
    customers = without_returns(replay)
    assert len(customers) > 5
    for customer in customers:
        view = build_view([replay.histories[customer]], replay.items, NOW, STATISTICS)
        codes = [replay.items.codes[row] for row in view.row]
        vector = dict(
            zip(codes, STATISTICS.text.encode([replay.items.description(code) for code in codes]), strict=True)
        )
        for code in {code for basket in net_baskets(replay, customer) for code in basket} - vector.keys():
            (vector[code],) = STATISTICS.text.encode([replay.items.description(code)])
        baskets = net_baskets(replay, customer)
        bought_items = {code for basket in baskets for code in basket}
        decayed_count = sum(
            BASKET_DECAY**ago * vector[code] for ago, basket in enumerate(reversed(baskets)) for code in basket
        )
        last = sum(vector[code] for code in baskets[-1])
        for position, code in enumerate(codes):
            candidate = vector[code]
            expected = [
                candidate @ unit(np.asarray(decayed_count)),
                candidate @ unit(np.asarray(last)),
                max((candidate @ vector[other] for other in bought_items - {code}), default=0.0),
            ]
            got = [column(view, name)[position] for name in TEXT_INPUTS]
            assert got == pytest.approx(expected, abs=1e-5)
            similarity = view.step_inputs[position, :, STEP_INPUTS.index("text_similarity_basket")]
            for ago, basket in enumerate(reversed(baskets[-STEPS:])):
                basket_vector = unit(np.asarray(sum(vector[each] for each in basket)))
                assert similarity[STEPS - 1 - ago] == pytest.approx(candidate @ basket_vector, abs=1e-5)


def test_baseline_inputs_are_the_scores_of_the_baselines(replay: StateReplay) -> None:
    demand = np.log1p(replay.items.demand(NOW)[:, HALF_LIVES.index(7.0)])
    q = demand / demand.max()
    for customer in without_returns(replay):
        view = build_view([replay.histories[customer]], replay.items, NOW, STATISTICS)
        baskets = net_baskets(replay, customer)
        count = dict.fromkeys(view.row.tolist(), 0.0)
        decayed_count = dict(count)
        for ago, basket in enumerate(reversed(baskets)):
            for code in basket:
                row = replay.items.rows[code]
                count[row] += 1.0
                decayed_count[row] += SLOW_BASKET_DECAY**ago
        most = max(decayed_count.values())
        z = column(view, "i2i_score_baskets")
        for position, row in enumerate(view.row.tolist()):
            expected = (
                count[row] * (0.001 + q[row]) + 0.001 * q[row],
                (decayed_count[row] / most + z[position]) * (0.001 + q[row]),
            )
            got = [column(view, name)[position] for name in BASELINE_INPUTS]
            assert got == pytest.approx(np.log(np.maximum(expected, 1e-6)), abs=1e-4)


def test_the_customers_variant_is_ease_over_whole_histories(replay: StateReplay) -> None:
    codes = STATISTICS.codes
    index = {code: number for number, code in enumerate(codes)}
    bought: dict[str, set[str]] = {}
    for invoice in LOG[:-1]:  # the statistics end before the last date
        bought.setdefault(str(invoice.customer_id), set()).update(invoice.purchased_codes)
    rows = np.zeros((len(bought), len(codes)), np.float32)
    for number, items in enumerate(bought.values()):
        rows[number, [index[code] for code in items if code in index]] = 1.0
    weights = ease(rows.T @ rows, BASKETS_RIDGE)
    assert len(codes) <= NEIGHBOURS  # or some weights would be cut off
    assert CUSTOMERS in STATISTICS.neighbours

    customer = without_returns(replay)[0]
    view = build_view([replay.histories[customer]], replay.items, NOW, STATISTICS)
    items_bought = {code for basket in net_baskets(replay, customer) for code in basket}
    indicator = np.zeros(len(codes))
    indicator[[index[code] for code in items_bought if code in index]] = 1.0
    expected = indicator @ weights / np.sqrt(indicator.sum())
    got = view.candidate_inputs[:, CANDIDATE_INPUTS.index(I2I_CANDIDATE_INPUTS[2])]
    inside = view.item_index < len(codes)
    assert got[inside] == pytest.approx(expected[view.item_index[inside]], abs=1e-5)


def test_an_items_buyers_are_compared_with_the_customer(replay: StateReplay) -> None:
    for customer in without_returns(replay):
        view = build_view([replay.histories[customer]], replay.items, NOW, STATISTICS)
        invoices = replay.histories[customer].invoices
        lines = [line for invoice in invoices for line in invoice.lines]
        customer_values = [
            np.log1p(len(lines) / len(invoices)),
            np.mean([np.log1p(line.quantity / THOUSAND) for line in lines]),
            np.log1p(len(invoices)),
        ]
        for position, index in enumerate(view.item_index):
            item_statistics = STATISTICS.item_statistics[index]
            over = item_statistics[2:] - customer_values
            got = [column(view, name)[position] for name in ITEM_STATISTIC_INPUTS]
            assert got == pytest.approx([*item_statistics[:2], *over, *np.abs(over)], abs=1e-5)
