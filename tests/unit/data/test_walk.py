"""Prediction points and what is known at them, on logs worked by hand and against the functions of state."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from state.domain.history import CustomerHistory, add_invoice
from state.events.invoice import Invoice, Line
from training.data.walk import StateReplay, customer_purchase_dates, walk

DAY = 86_400


def sale(number: str, customer: str | None, day: int, *codes: str) -> Invoice:
    """An invoice of one piece of each stock code; a code that begins with ``-`` comes back."""
    lines = tuple(Line(code.lstrip("-"), -1_000 if code.startswith("-") else 1_000, 1.0) for code in codes)
    return Invoice(number, customer, day * DAY, lines)


def moments(
    log: list[Invoice], moment: Literal["visit", "emission", "both"], start: int = 0, end: int = 100, window: int = 100
) -> list[tuple[Any, ...]]:
    """Kind, day, target's number, numbers in the history, items ever sold, of each moment."""
    return [
        (
            at.moment,
            at.now // DAY,
            at.target.invoice_no,
            [invoice.invoice_no for invoice in at.history.invoices],
            dict(zip(at.items.codes, at.items.sold.tolist(), strict=True)),
        )
        for at in walk(log, moment=moment, start=start * DAY, end=end * DAY, window=window)
    ]


LOG = [
    sale("1", "ann", 1, "tea", "cup"),
    sale("2", "bob", 2, "tea"),
    sale("C3", "ann", 3, "-cup"),
    sale("4", None, 4, "tea"),
    sale("5", "ann", 5, "jam"),
    sale("6", "bob", 6, "tea"),
]


def test_a_visit_has_everything_before_the_invoice() -> None:
    assert moments(LOG, "visit") == [
        ("visit", 5, "5", ["1", "C3"], {"tea": 2, "cup": 1}),
        ("visit", 6, "6", ["2"], {"tea": 2, "cup": 1, "jam": 1}),
    ]


def test_first_purchases_have_a_point_with_the_customers_attributes_if_wanted() -> None:
    log = [
        sale("C0", "eve", 1, "-tea"),
        replace(sale("1", "ann", 1, "tea"), attributes={"city": "Rome"}),
        replace(sale("2", "eve", 2, "tea"), attributes={"city": "Nice"}),
        replace(sale("3", "ann", 3, "jam"), attributes={"city": "Paris"}),
    ]
    steps = [
        (at.moment, at.target.invoice_no, [held.invoice_no for held in at.history.invoices], at.history.attributes)
        for at in walk(log, moment="both", start=0, end=100 * DAY, window=100, first=True)
    ]
    assert steps == [
        ("visit", "1", [], {"city": "Rome"}),
        ("emission", "3", ["1"], {"city": "Rome"}),
        ("visit", "2", ["C0"], {"city": "Nice"}),
        ("visit", "3", ["1"], {"city": "Rome"}),
    ]


def test_the_replay_has_the_attributes_of_the_state() -> None:
    replay = StateReplay(100)
    line = Line("tea", 1_000, 1.0, attributes={"category": "Drinks"})
    replay.apply(Invoice("1", "ann", 5, (line,), {"city": "Rome", "gender": "F"}))
    replay.apply(Invoice("2", "ann", 9, (replace(line, attributes={"category": "Food"}),), {"city": "Nice"}))
    assert replay.histories["ann"].attributes == {"city": "Nice", "gender": "F"}
    assert replay.items.attributes("tea") == {"category": "Food"}


def test_an_emission_has_what_was_known_after_the_previous_purchase() -> None:
    assert moments(LOG, "emission") == [
        ("emission", 1, "5", ["1"], {"tea": 1, "cup": 1}),
        ("emission", 2, "6", ["2"], {"tea": 2, "cup": 1}),
    ]


def test_both_come_in_the_order_of_time() -> None:
    assert [(kind, day, target) for kind, day, target, *_ in moments(LOG, "both")] == [
        ("emission", 1, "5"),
        ("emission", 2, "6"),
        ("visit", 5, "5"),
        ("visit", 6, "6"),
    ]


def test_only_targets_within_the_days_count() -> None:
    assert [row[2] for row in moments(LOG, "visit", start=6)] == ["6"]
    assert [row[2] for row in moments(LOG, "visit", end=6)] == ["5"]
    assert [row[2] for row in moments(LOG, "emission", start=6)] == ["6"]
    assert [row[2] for row in moments(LOG, "emission", end=6)] == ["5"]
    assert moments(LOG, "both", start=7) == []


def test_a_customer_who_returned_everything_is_not_new() -> None:
    log = [sale("1", "ann", 1, "tea"), sale("C2", "ann", 2, "-tea"), sale("3", "ann", 3, "jam")]

    assert [row[2] for row in moments(log, "visit")] == ["3"]


def test_a_return_is_no_target_and_no_first_purchase() -> None:
    log = [sale("C1", "ann", 1, "-tea"), sale("2", "ann", 2, "jam"), sale("C3", "ann", 3, "-jam")]

    assert moments(log, "both") == []


def test_two_invoices_of_one_minute_are_in_the_order_of_their_numbers() -> None:
    log = [sale("1", "ann", 1, "tea"), sale("2", "ann", 1, "jam")]

    assert moments(log, "visit") == [("visit", 1, "2", ["1"], {"tea": 1})]


def test_the_history_is_no_longer_than_its_window() -> None:
    log = [sale(str(number), "ann", number, "tea") for number in range(1, 6)]

    assert [row[3] for row in moments(log, "visit", window=2)] == [["1"], ["1", "2"], ["2", "3"], ["3", "4"]]


def test_a_point_has_the_position_of_its_target() -> None:
    for at in walk(LOG, moment="both", start=0, end=100 * DAY, window=9):
        assert LOG[at.position] is at.target


def test_demand_is_as_of_the_point() -> None:
    (at,) = walk(LOG[:5], moment="visit", start=0, end=100 * DAY, window=9)
    one_day = at.items.demand(at.now)[at.items.rows["tea"], 0]

    assert one_day == pytest.approx(0.5**4 + 0.5**3)


def test_a_mixed_invoice_is_a_purchase() -> None:
    assert sale("1", "ann", 1, "-tea", "jam").is_purchase
    assert not sale("1", "ann", 1, "-tea").is_purchase
    assert not sale("1", "ann", 1).is_purchase


CODES = st.lists(st.sampled_from(["a", "b", "-a"]), max_size=3)
LOGS = st.lists(st.tuples(st.sampled_from(["ann", "bob", None]), st.integers(0, 6), CODES), max_size=14).map(
    lambda rows: sorted(
        (sale(str(number), customer, day, *codes) for number, (customer, day, codes) in enumerate(rows)),
        key=lambda invoice: (invoice.date, invoice.invoice_no),
    )
)


@given(log=LOGS, window=st.integers(1, 4), start=st.integers(0, 6), end=st.integers(0, 7))
def test_points_are_those_of_the_protocol(log: list[Invoice], window: int, start: int, end: int) -> None:
    """Said once more, by looking at the whole log for every target."""
    expected = []
    for position, target in enumerate(log):
        before = [
            earlier
            for earlier in range(position)
            if log[earlier].customer_id == target.customer_id and log[earlier].is_purchase
        ]
        wanted = target.customer_id is not None and target.is_purchase and start <= target.date // DAY < end
        if wanted and before:
            for kind, until in (("visit", position), ("emission", before[-1] + 1)):
                history = CustomerHistory(str(target.customer_id))
                for invoice in log[:until]:
                    if invoice.customer_id == target.customer_id:
                        history = add_invoice(history, invoice, window).history
                now = target.date if kind == "visit" else log[before[-1]].date
                sold: dict[str, int] = {}
                for invoice in log[:until]:
                    for code in invoice.purchased_codes:
                        if invoice.customer_id is not None:
                            sold[code] = sold.get(code, 0) + 1
                expected.append((kind, now, position, history, sold))

    found = [
        (at.moment, at.now, at.position, at.history, dict(zip(at.items.codes, at.items.sold.tolist(), strict=True)))
        for at in walk(log, moment="both", start=start * DAY, end=end * DAY, window=window)
    ]

    assert sorted(found, key=lambda row: row[:3]) == sorted(expected, key=lambda row: row[:3])
    assert [row[1] for row in found] == sorted(row[1] for row in found)


def test_a_replay_does_not_count_an_invoice_before_the_window() -> None:
    replay = StateReplay(window=1)
    for invoice in (sale("2", "ann", 5, "tea"), sale("3", "ann", 6, "tea"), sale("1", "ann", 1, "jam")):
        replay.apply(invoice)

    assert replay.items.codes == ["tea"]
    assert replay.now == 6 * DAY


def test_a_replay_of_the_whole_log() -> None:
    replay = StateReplay(window=9)
    for invoice in LOG:
        replay.apply(invoice)

    assert set(replay.histories) == {"ann", "bob"}
    assert replay.now == 6 * DAY
    assert len(replay.items) == 3


def test_purchase_dates_leave_out_returns_and_anonymous_sales() -> None:
    log = [
        sale("1", "ann", 1, "tea"),
        sale("2", None, 2, "tea"),
        sale("3", "ann", 3, "-tea"),
        sale("4", "bob", 4, "jam"),
    ]
    assert list(customer_purchase_dates(log)) == [("ann", DAY), ("bob", 4 * DAY)]
