"""Words, habits and simple scores: every number against a slow reference, written from what the page says of it."""

import numpy as np
import pytest

from state.domain.items import HALF_LIVES
from state.events.invoice import THOUSAND
from tests.unit.features.shop import shop_log
from training.data.walk import StateReplay
from training.features.basket_lstm.candidates import RELATED_INPUTS
from training.features.basket_lstm.customer_items import FADE, FADE_A_BASKET
from training.features.basket_lstm.flat_histories import STEPS
from training.features.basket_lstm.global_statistics import CUSTOMERS
from training.features.basket_lstm.text_similarity import TEXT_INPUTS
from training.features.basket_lstm.view import (
    CANDIDATE_INPUTS,
    ITEM_STATISTIC_INPUTS,
    SIMPLE_INPUTS,
    STEP_INPUTS,
    View,
    build_view,
)
from training.features.item_to_item import ease
from training.models.global_statistics import BASKETS_RIDGE, NEIGHBOURS, fit_global_statistics

LOG = shop_log(240)
NOW = LOG[-1].date
KNOWLEDGE = fit_global_statistics(LOG, NOW)


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG:
        replay.apply(invoice)
    return replay


def kept(replay: StateReplay, customer: str) -> list[list[str]]:
    """Stock codes of each basket, oldest first, without what was taken back."""
    view = build_view([replay.histories[customer]], replay.items, NOW, KNOWLEDGE)
    own = {replay.items.codes[row] for row in view.own.row}
    baskets = [[line.stock_code for line in invoice.lines] for invoice in replay.histories[customer].invoices]
    return [[code for code in basket if code in own] for basket in baskets]


def column(view: View, name: str) -> np.ndarray:
    return view.candidate[:, CANDIDATE_INPUTS.index(name)]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def untouched(replay: StateReplay) -> list[str]:
    """Customers who took nothing back: their baskets are their invoices."""
    return [
        name
        for name, history in replay.histories.items()
        if all(line.quantity > 0 for invoice in history.invoices for line in invoice.lines)
    ]


def test_descriptions_are_compared_one_by_one(replay: StateReplay) -> None:
    customers = untouched(replay)
    assert len(customers) > 5
    for customer in customers:
        view = build_view([replay.histories[customer]], replay.items, NOW, KNOWLEDGE)
        codes = [replay.items.codes[row] for row in view.row]
        vector = dict(
            zip(codes, KNOWLEDGE.text.encode([replay.items.description(code) for code in codes]), strict=True)
        )
        for code in {code for basket in kept(replay, customer) for code in basket} - vector.keys():
            (vector[code],) = KNOWLEDGE.text.encode([replay.items.description(code)])
        baskets = kept(replay, customer)
        own = {code for basket in baskets for code in basket}
        faded = sum(
            FADE_A_BASKET**ago * vector[code] for ago, basket in enumerate(reversed(baskets)) for code in basket
        )
        last = sum(vector[code] for code in baskets[-1])
        for position, code in enumerate(codes):
            mine = vector[code]
            expected = [
                mine @ unit(np.asarray(faded)),
                mine @ unit(np.asarray(last)),
                max((mine @ vector[other] for other in own - {code}), default=0.0),
            ]
            got = [column(view, name)[position] for name in TEXT_INPUTS]
            assert got == pytest.approx(expected, abs=1e-5)
            like = view.steps[position, :, STEP_INPUTS.index("text_like_basket")]
            for ago, basket in enumerate(reversed(baskets[-STEPS:])):
                basket_vector = unit(np.asarray(sum(vector[each] for each in basket)))
                assert like[STEPS - 1 - ago] == pytest.approx(mine @ basket_vector, abs=1e-5)


def test_the_simple_scores_are_those_of_the_page(replay: StateReplay) -> None:
    demand = np.log1p(replay.items.demand(NOW)[:, HALF_LIVES.index(7.0)])
    q = demand / demand.max()
    for customer in untouched(replay):
        view = build_view([replay.histories[customer]], replay.items, NOW, KNOWLEDGE)
        baskets = kept(replay, customer)
        count = dict.fromkeys(view.row.tolist(), 0.0)
        faded = dict(count)
        for ago, basket in enumerate(reversed(baskets)):
            for code in basket:
                row = replay.items.rows[code]
                count[row] += 1.0
                faded[row] += FADE**ago
        most = max(faded.values())
        z = column(view, "baskets_speak")
        for position, row in enumerate(view.row.tolist()):
            expected = (
                count[row] * (0.001 + q[row]) + 0.001 * q[row],
                (faded[row] / most + z[position]) * (0.001 + q[row]),
            )
            got = [column(view, name)[position] for name in SIMPLE_INPUTS]
            assert got == pytest.approx(np.log(np.maximum(expected, 1e-6)), abs=1e-4)


def test_customers_speak_by_all_they_ever_bought(replay: StateReplay) -> None:
    codes = KNOWLEDGE.codes
    place = {code: number for number, code in enumerate(codes)}
    bought: dict[str, set[str]] = {}
    for invoice in LOG[:-1]:  # the lessons end before the last date
        bought.setdefault(str(invoice.customer_id), set()).update(invoice.purchased_codes)
    rows = np.zeros((len(bought), len(codes)), np.float32)
    for number, items in enumerate(bought.values()):
        rows[number, [place[code] for code in items if code in place]] = 1.0
    weights = ease(rows.T @ rows, BASKETS_RIDGE)
    assert len(codes) <= NEIGHBOURS  # or some weights would be cut off
    assert CUSTOMERS in KNOWLEDGE.neighbours

    customer = untouched(replay)[0]
    view = build_view([replay.histories[customer]], replay.items, NOW, KNOWLEDGE)
    own = np.zeros(len(codes))
    own[[place[code] for code in {code for basket in kept(replay, customer) for code in basket} if code in place]] = 1.0
    expected = own @ weights / np.sqrt(own.sum())
    got = view.candidate[:, CANDIDATE_INPUTS.index(RELATED_INPUTS[2])]
    inside = view.place < len(codes)
    assert got[inside] == pytest.approx(expected[view.place[inside]], abs=1e-5)


def test_an_items_buyers_are_compared_with_the_customer(replay: StateReplay) -> None:
    for customer in untouched(replay):
        view = build_view([replay.histories[customer]], replay.items, NOW, KNOWLEDGE)
        invoices = replay.histories[customer].invoices
        lines = [line for invoice in invoices for line in invoice.lines]
        own = [
            np.log1p(len(lines) / len(invoices)),
            np.mean([np.log1p(line.quantity / THOUSAND) for line in lines]),
            np.log1p(len(invoices)),
        ]
        for position, place in enumerate(view.place):
            item_statistics = KNOWLEDGE.item_statistics[place]
            over = item_statistics[2:] - own
            got = [column(view, name)[position] for name in ITEM_STATISTIC_INPUTS]
            assert got == pytest.approx([*item_statistics[:2], *over, *np.abs(over)], abs=1e-5)
