"""The demo's parts without side effects: statistics, screen, baseline, split of the log."""

import pytest
from rich.console import Console

from state.domain.recommendation import Item, ModelVersion, NextPurchase, Reason, Recommendation, Trigger
from state.events.invoice import Invoice, Line
from stream.cli.exit_codes import Failure
from stream.demo.baseline import BaselineRanker
from stream.demo.replay import last_invoices
from stream.demo.screen import PlainScreen, render_screen
from stream.demo.statistics import MAX_CUSTOMERS, ReplayStatistics
from stream.demo.training import split_log
from training.serving.baselines.scorer import BaselineScorer


def _recommendation(customer: str, invoice: str) -> Recommendation:
    regular = Item("1", "RED MUG", 0.4, "replenish", Reason("bought_regularly", {"times": 5, "last": "2011-01-01"}))
    new = Item("2", None, 0.1, "discover", Reason("bought_together", {"with": "1", "description": "RED MUG"}))
    due = NextPurchase({"7": 0.1}, None, "2011-02-03", None)
    return Recommendation(
        "r", customer, 1, "", "", Trigger(invoice), ModelVersion("m", "v"), due, [regular, regular, new]
    )


def test_quality_is_over_the_invoices_that_both_have_a_score_for() -> None:
    statistics = ReplayStatistics(3)
    statistics.add_model_score("a", 1.0, 0.5)
    statistics.add_model_score("b", 1.0, 0.5)
    statistics.add_baseline_score("b", 0.0, 0.25)
    statistics.add_baseline_score("c", 1.0, 1.0)
    summary = statistics.summary()
    assert summary.model is not None
    assert summary.baseline is not None
    assert (summary.model.invoices, summary.model.hit, summary.model.recall) == (1, 1.0, 0.5)
    assert (summary.baseline.hit, summary.baseline.recall) == (0.0, 0.25)


def test_a_second_score_of_an_invoice_replaces_the_first() -> None:
    statistics = ReplayStatistics(1)
    statistics.add_model_score("a", 0.0, 0.0)
    statistics.add_model_score("a", 1.0, 0.5)
    statistics.add_baseline_score("a", 0.0, 0.0)
    summary = statistics.summary()
    assert summary.model is not None
    assert summary.model.recall == 0.5


def test_latency_is_from_sending_to_reading_in_milliseconds() -> None:
    statistics = ReplayStatistics(4)
    for number in range(4):
        statistics.add_sent(str(number), float(number))
        statistics.add_recommendation(_recommendation("c", str(number)), number + 0.01 * (number + 1))
    summary = statistics.summary()
    assert summary.p50_ms == pytest.approx(30.0)
    assert summary.p99_ms == pytest.approx(40.0)
    assert summary.events_per_second == pytest.approx(4 / 3.04)
    assert statistics.complete


def test_a_recommendation_for_an_invoice_that_was_not_sent_has_no_latency() -> None:
    statistics = ReplayStatistics(1)
    statistics.add_recommendation(_recommendation("c", "before"), 5.0)
    assert (statistics.summary().recommendations, statistics.summary().p50_ms, statistics.complete) == (1, None, False)


def test_the_table_shows_each_customer_once_newest_first() -> None:
    statistics = ReplayStatistics(1)
    for number in [*range(MAX_CUSTOMERS + 2), 5]:
        statistics.add_recommendation(_recommendation(str(number), "i"), 0.0)
    assert [one.customer_id for one in statistics.latest()][:2] == ["5", str(MAX_CUSTOMERS + 1)]
    assert len(statistics.latest()) == MAX_CUSTOMERS


def test_the_screen_shows_an_item_that_is_new_to_the_customer_and_why() -> None:
    statistics = ReplayStatistics(1)
    statistics.add_sent("i", 0.0)
    statistics.add_recommendation(_recommendation("12680", "i"), 0.05)
    console = Console(width=118, record=True, force_terminal=False)
    console.print(render_screen(statistics))
    text = console.export_text()
    for shown in ("12680", "2011-02-03", "Red Mug", "bought 5 times", "discover", "goes with Red Mug", "p50 50 ms"):
        assert shown in text


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    statistics = ReplayStatistics(1)
    statistics.add_recommendation(_recommendation("12680", "i"), 0.0)
    with PlainScreen(Console(width=200)) as screen:
        screen.show(statistics)
    assert "12680: Red Mug [replenish, 40%, bought 5 times]" in capsys.readouterr().out


def _invoice(number: str, date: int, *codes: str, customer: str = "c") -> Invoice:
    return Invoice(number, customer, date, tuple(Line(code, 1000, 1.0) for code in codes))


def test_the_baseline_is_scored_on_its_ranking_before_the_invoice() -> None:
    baseline = BaselineRanker(BaselineScorer("gp_topfreq", "none"), window=100)
    baseline.apply([_invoice("1", 100, "a", "b"), _invoice("2", 200, "z", customer="other")])
    baseline.rank(["c", "unknown"])
    assert baseline.score_and_apply(_invoice("3", 300, "a", "new")) == (1.0, 0.5)
    assert baseline.score_and_apply(_invoice("4", 400, "new")) == (1.0, 1.0), (
        "the fourth is ranked after the third was applied"
    )
    assert baseline.score_and_apply(_invoice("5", 500, "a", customer="first time")) is None
    assert baseline.score_and_apply(Invoice("C6", "c", 600, (Line("a", -1000, 1.0),))) is None


def test_a_tenth_of_the_log_is_replayed_at_most_and_invoices_of_one_date_stay_together() -> None:
    log = [_invoice(str(number), number // 3, "a", customer=str(number)) for number in range(300)]
    trained, replayed = split_log(log, 1_000)
    assert [*trained, *replayed] == log
    assert (len(trained), len(replayed)) == (270, 30)
    assert len(split_log(log, 4)[1]) == 6, "two dates with three invoices each"
    with pytest.raises(Failure, match="too few"):
        split_log(log[:99], 10)


def test_the_last_invoice_of_each_customer() -> None:
    log = [_invoice(number, 1, "a", customer=customer) for number, customer in (("1", "x"), ("2", "y"), ("3", "x"))]
    assert {invoice.invoice_no for invoice in last_invoices(log)} == {"2", "3"}
