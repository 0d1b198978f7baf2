"""Learning to retrieve: weights that find what customers buy for the first time, from earlier invoices only."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line
from training.data.walk import walk
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.retrieval import RETRIEVAL_INPUTS, Retrieval
from training.features.basket_lstm.view import build_view
from training.models.candidate_views import retrieval as retrieving
from training.models.candidate_views.labelled_views import target_dates
from training.models.candidate_views.retrieval import fit_retrieval
from training.models.candidate_views.statistics_history import StatisticsHistory

START = 1_300_000_000
NUMBER = 200
MOST = 10_000


def fashion_log() -> list[Invoice]:
    """Customers buy what first sold in the last two weeks, 200 items that are a year old sell now and then."""
    generator = np.random.default_rng(1)
    log = [
        Invoice(f"o{n:05d}", f"old{n}", START + n * 60, (Line(f"old{n}", 5 * THOUSAND, 1.0, f"OLD {n}"),))
        for n in range(200)
    ]
    for n in range(NUMBER):
        date = START + 300 * DAY + n * DAY // 5
        fresh = n // 20
        chosen = [f"new{fresh}-{k}" for k in generator.choice(12, 2, replace=False)]
        chosen.append(f"old{generator.integers(200)}")
        lines = tuple(Line(code, THOUSAND, 1.0, code.upper()) for code in chosen)
        log.append(Invoice(f"n{n:05d}", f"c{generator.integers(20)}", date, lines))
    return log


LOG = fashion_log()
UNTIL = LOG[-50].date


STALENESS = StatisticsHistory(LOG, UNTIL)


def found(retrieval: Retrieval) -> float:
    """Share of the new items bought after ``UNTIL`` that are among ten candidates."""
    hits = [0, 0]
    for moment in walk(LOG, moment="visit", start=UNTIL, end=LOG[-1].date + 1, window=100):
        statistics = STALENESS.at(moment.now)
        view = build_view(
            [moment.history], moment.items, moment.now, statistics, retrieval._replace(max_new_candidates=10)
        )
        rows = {moment.items.rows.get(line.stock_code, -1) for line in moment.target.lines}
        own = {moment.items.rows[line.stock_code] for invoice in moment.history.invoices for line in invoice.lines}
        hits[0] += len((rows - own) & set(view.row.tolist()))
        hits[1] += len(rows - own - {-1})
    assert hits[1] > 50
    return hits[0] / hits[1]


def fitted_retrieval() -> Retrieval:
    return fit_retrieval(LOG, STALENESS, UNTIL, 100, np.random.default_rng(1), MOST)


def test_fitted_weights_find_more_than_one_input_and_as_much_as_the_defaults() -> None:
    fitted = fitted_retrieval()
    by_name = dict(zip(RETRIEVAL_INPUTS, fitted.weights, strict=True))
    by_demand = Retrieval(tuple(float(name == "demand_ever") for name in RETRIEVAL_INPUTS))

    assert found(fitted) > max(found(by_demand) + 0.3, found(Retrieval()) - 0.02)
    assert by_name["log_age_days"] < 0.0


def test_invoices_after_the_end_change_nothing() -> None:
    before = [invoice for invoice in LOG if invoice.date < UNTIL]

    assert (
        fit_retrieval(before, StatisticsHistory(before, UNTIL), UNTIL, 100, np.random.default_rng(1), MOST)
        == fitted_retrieval()
    )


def test_without_anything_new_the_default_weights_stay() -> None:
    again = [
        Invoice(f"{n:05d}", "ann", START + n * DAY, (Line("a", THOUSAND, 1.0), Line("b", THOUSAND, 1.0)))
        for n in range(30)
    ]

    assert (
        fit_retrieval(again, StatisticsHistory(again, UNTIL), UNTIL, 100, np.random.default_rng(1), MOST) == Retrieval()
    )
    assert fit_retrieval([], StatisticsHistory([], UNTIL), UNTIL, 100, np.random.default_rng(1), MOST) == Retrieval()


def test_the_default_weights_count_like_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    default = np.asarray(Retrieval().weights)

    def moved(prior: float) -> float:
        monkeypatch.setattr(retrieving, "PRIOR", prior)
        return float(np.abs(np.asarray(fitted_retrieval().weights) - default).sum())

    assert 0.0 < moved(1e9) < 0.1 < moved(1.0)


def test_only_the_newest_invoices_are_fitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def at_each(moments: Sequence[int]) -> Iterator[GlobalStatistics]:
        asked.extend(moments)
        return STALENESS.at_each(moments)

    statistics_history = StatisticsHistory(LOG, UNTIL)
    monkeypatch.setattr(statistics_history, "at_each", at_each)
    fit_retrieval(LOG, statistics_history, UNTIL, 100, np.random.default_rng(1), 10)

    visits = [now for now in asked if now >= target_dates(LOG, UNTIL)[-10]]
    assert len(asked) <= 20
    assert len(visits) >= 8
