"""The parts of the long run that need no service."""

import json
from itertools import pairwise

from bench.soak.events import repeated
from bench.soak.picture import picture
from bench.soak.samples import Sample, Window, growth, windows
from state.events.dates import DAY, to_iso
from state.events.invoice import Invoice, Line

LOG = [
    Invoice("1", "a", 0, (Line("x", 1_000, 1.0), Line("y", 2_000, 1.0))),
    Invoice("2", None, DAY, (Line("x", 1_000, 1.0),)),
    Invoice("3", "b", 5 * DAY, (Line("x", 3_000, 1.0),)),
]


def test_a_table_is_sent_over_and_over_with_later_dates_and_other_invoices() -> None:
    sent = [(key, json.loads(value)) for key, value in repeated(LOG, 7)]
    assert [key for key, _ in sent] == [b"a", b"a", b"b", b"a", b"a", b"b", b"a"]
    lines = [(event["InvoiceNo"], event["StockCode"]) for _, event in sent]
    assert len(set(lines)) == 7, "no line is known already"
    dates = [event["InvoiceDate"] for _, event in sent]
    assert all(one <= other for one, other in pairwise(dates))
    assert dates[-1] == to_iso(0), "the last round is dated as the table is"


def test_answers_are_summed_up_by_the_window_of_their_arrival() -> None:
    found = windows([100.0, 101.0, 109.0, 112.0, 113.0], [10.0, 20.0, 30.0, 7.0, 9.0], 100.0)
    assert [(one.second, one.answers, one.p50_ms) for one in found] == [(0.0, 3, 20.0), (10.0, 2, 8.0)]


def test_growth_leaves_the_start_out() -> None:
    assert growth([10, 50, 100, 100, 100, 100, 101, 103]) == 2.0
    assert growth([5.0]) == 0.0


def test_the_picture_has_its_axes_and_follows_a_dark_page() -> None:
    samples = [Sample(float(i), i, i, 0, 150.0, 20.0, 1.0, 1.0, 0.5, 0.1, 0.2) for i in range(500)]
    drawn = picture("2,000,000 lines", samples, [Window(0.0, 10, 18.0, 50.0), Window(10.0, 10, 19.0, 51.0)])
    assert b"prefers-color-scheme: dark" in drawn
    assert b"2,000,000 lines" in drawn
    assert len(drawn) < 400_000
