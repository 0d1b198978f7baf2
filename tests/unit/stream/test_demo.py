"""The demo's plain parts: the tally, the screen, the rival."""

import pytest
from rich.console import Console

from state.domain.recommendation import Item, Model, NextPurchase, Reason, Recommendation, Trigger
from state.events.invoice import Invoice, Line
from stream.cli.exit_codes import Failure
from stream.demo.baseline import BaselineRanker
from stream.demo.run import _cut, _last_invoices
from stream.demo.screen import PlainScreen, picture
from stream.demo.tally import LATEST, Tally
from training.serving.baselines.scorer import BaselineScorer


def _recommendation(customer: str, invoice: str) -> Recommendation:
    regular = Item("1", "RED MUG", 0.4, "replenish", Reason("bought_regularly", {"times": 5, "last": "2011-01-01"}))
    new = Item("2", None, 0.1, "discover", Reason("bought_together", {"with": "1", "description": "RED MUG"}))
    due = NextPurchase({"7": 0.1}, None, "2011-02-03", None)
    return Recommendation("r", customer, 1, "", "", Trigger(invoice), Model("m", "v"), due, [regular, regular, new])


def test_quality_is_over_the_invoices_that_both_scored() -> None:
    tally = Tally(3)
    tally.scored("a", 1.0, 0.5)
    tally.scored("b", 1.0, 0.5)
    tally.baseline_scored("b", 0.0, 0.25)
    tally.baseline_scored("c", 1.0, 1.0)
    summary = tally.summary()
    assert summary.ours is not None
    assert summary.baseline is not None
    assert (summary.ours.invoices, summary.ours.hit, summary.ours.recall) == (1, 1.0, 0.5)
    assert (summary.baseline.hit, summary.baseline.recall) == (0.0, 0.25)


def test_a_later_score_of_an_invoice_supersedes() -> None:
    tally = Tally(1)
    tally.scored("a", 0.0, 0.0)
    tally.scored("a", 1.0, 0.5)
    tally.baseline_scored("a", 0.0, 0.0)
    summary = tally.summary()
    assert summary.ours is not None
    assert summary.ours.recall == 0.5


def test_latency_is_from_sending_to_reading_in_milliseconds() -> None:
    tally = Tally(4)
    for place in range(4):
        tally.invoice_sent(str(place), float(place))
        tally.recommended(_recommendation("c", str(place)), place + 0.01 * (place + 1))
    summary = tally.summary()
    assert summary.p50_ms == pytest.approx(30.0)
    assert summary.p99_ms == pytest.approx(40.0)
    assert summary.events_per_second == pytest.approx(4 / 3.04)
    assert tally.complete


def test_an_answer_to_what_was_not_sent_here_has_no_latency() -> None:
    tally = Tally(1)
    tally.recommended(_recommendation("c", "before"), 5.0)
    assert (tally.summary().answered, tally.summary().p50_ms, tally.complete) == (1, None, False)


def test_the_table_shows_each_customer_once_newest_first() -> None:
    tally = Tally(1)
    for number in [*range(LATEST + 2), 5]:
        tally.recommended(_recommendation(str(number), "i"), 0.0)
    assert [one.customer_id for one in tally.latest()][:2] == ["5", str(LATEST + 1)]
    assert len(tally.latest()) == LATEST


def test_the_picture_shows_what_is_new_to_the_customer_and_why() -> None:
    tally = Tally(1)
    tally.invoice_sent("i", 0.0)
    tally.recommended(_recommendation("12680", "i"), 0.05)
    console = Console(width=118, record=True, force_terminal=False)
    console.print(picture(tally))
    text = console.export_text()
    for shown in ("12680", "2011-02-03", "Red Mug", "bought 5 times", "discover", "goes with Red Mug", "p50 50 ms"):
        assert shown in text


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(1)
    tally.recommended(_recommendation("12680", "i"), 0.0)
    with PlainScreen(Console(width=200)) as screen:
        screen.show(tally)
    assert "12680: Red Mug [replenish, 40%, bought 5 times]" in capsys.readouterr().out


def _invoice(number: str, date: int, *codes: str, customer: str = "c") -> Invoice:
    return Invoice(number, customer, date, tuple(Line(code, 1000, 1.0) for code in codes))


def test_the_rival_is_scored_on_what_stood_before_the_invoice() -> None:
    baseline = BaselineRanker(BaselineScorer("gp_topfreq", "none"), window=100)
    baseline.learn([_invoice("1", 100, "a", "b"), _invoice("2", 200, "z", customer="other")])
    baseline.rank(["c", "stranger"])
    assert baseline.meet(_invoice("3", 300, "a", "new")) == (1.0, 0.5)
    assert baseline.meet(_invoice("4", 400, "new")) == (1.0, 1.0), (
        "what the third invoice brought is known to the fourth"
    )
    assert baseline.meet(_invoice("5", 500, "a", customer="first time")) is None
    assert baseline.meet(Invoice("C6", "c", 600, (Line("a", -1000, 1.0),))) is None


def test_the_past_ends_between_two_moments_and_keeps_nine_tenths() -> None:
    log = [_invoice(str(place), place // 3, "a", customer=str(place)) for place in range(300)]
    cut = _cut(log, 1_000)
    assert 260 <= cut <= 270
    assert log[cut - 1].date < log[cut].date
    assert [invoice.invoice_no for invoice in _last_invoices([*log[:2], _invoice("x", 9, "a", customer="0")])] == [
        "x",
        "1",
    ]
    with pytest.raises(Failure, match="too few"):
        _cut(log[:50], 10)
