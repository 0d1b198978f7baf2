"""Histories and baskets, worked by hand."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import (
    Basket,
    CustomerHistory,
    DemandChange,
    HeldInvoice,
    HeldLine,
    Invoice,
    Line,
    add_invoice,
    baskets,
    canonical_json,
)
from state.domain.history import size_in_lines
from tests.contract.events import arrivals, invoice_parts, one_date_each

DAY = 86_400


def invoice(number: str, date: int, *lines: Line) -> Invoice:
    return Invoice(number, "c", date, lines)


def buy(code: str, pieces: float, price: float = 1.0, line_id: str | None = None) -> Line:
    return Line(code, round(pieces * 1000), price, None, line_id)


def history(*invoices: Invoice, window: int = 100) -> CustomerHistory:
    result = CustomerHistory("c")
    for one in invoices:
        result = add_invoice(result, one, window).history
    return result


def net_baskets(*invoices: Invoice) -> dict[str, dict[str, float]]:
    """Pieces net of returns, by invoice and stock code."""
    return {
        basket.invoice_no: {code: quantity / 1000 for code, quantity in basket.items.items()}
        for basket in baskets(history(*invoices))
    }


def test_a_line_counts_once_within_an_invoice() -> None:
    once = invoice("1", 0, buy("A", 2))
    added = add_invoice(history(once), invoice("1", 0, buy("A", 2), buy("A", 3), buy("A", 2, price=1.5)), 100)
    assert [(line.quantity, line.unit_price) for line in added.new_lines] == [(3000, 1.0), (2000, 1.5)]
    assert not added.behind_watermark
    assert baskets(added.history) == [Basket("1", 0, {"A": 7000})]


def test_equal_lines_with_different_ids_count_each() -> None:
    assert net_baskets(invoice("1", 0, buy("A", 2, line_id="x"), buy("A", 2, line_id="y"), buy("A", 2))) == {
        "1": {"A": 6}
    }


def test_a_repeated_event_changes_nothing() -> None:
    event = invoice("1", 5, buy("A", 2), buy("B", -1))
    before = history(event)
    added = add_invoice(before, event, 100)
    assert added.history is before
    assert (added.new_lines, added.known_lines, added.demand_changes) == ([], 2, [])


@pytest.mark.parametrize("reverse", [False, True])
def test_the_smaller_text_wins_a_line_id(reverse: bool) -> None:
    events = [invoice("1", 0, buy("B", 2, line_id="x")), invoice("1", 0, buy("A", 9, line_id="x"))]
    result = history(*(reversed(events) if reverse else events))
    assert result.invoices == (HeldInvoice("1", 0, (HeldLine("A", 9000, 1.0, "x"),)),)


def test_an_invoice_has_its_earliest_date() -> None:
    late_first = history(invoice("1", 9, buy("A", 1)), invoice("1", 5, buy("B", 1)), invoice("1", 7, buy("B", 1)))
    assert [(one.invoice_no, one.date) for one in late_first.invoices] == [("1", 5)]


def test_a_return_reduces_the_latest_purchase_first() -> None:
    bought = [invoice("1", 10, buy("A", 5)), invoice("2", 20, buy("A", 5)), invoice("3", 30, buy("A", 5))]
    assert net_baskets(*bought, invoice("C4", 25, buy("A", -6))) == {"1": {"A": 4}, "3": {"A": 5}}


def test_a_return_reduces_purchases_of_the_same_second() -> None:
    assert net_baskets(invoice("9", 10, buy("A", 2)), invoice("C1", 10, buy("A", -1))) == {"9": {"A": 1}}
    # Of one second, the greater number as text is the later: "9" after "10".
    assert net_baskets(
        invoice("9", 10, buy("A", 2)), invoice("10", 10, buy("A", 2)), invoice("C", 10, buy("A", -2))
    ) == {"10": {"A": 2}}


def test_a_return_reduces_a_purchase_of_the_same_invoice() -> None:
    assert net_baskets(invoice("1", 10, buy("A", 3)), invoice("2", 20, buy("A", 2), buy("A", -1))) == {
        "1": {"A": 3},
        "2": {"A": 1},
    }


def test_a_return_does_not_reduce_a_later_purchase() -> None:
    assert net_baskets(invoice("1", 10, buy("A", -3)), invoice("2", 11, buy("A", 2))) == {"2": {"A": 2}}


def test_a_return_that_exceeds_the_purchases_has_no_further_effect() -> None:
    assert net_baskets(invoice("1", 10, buy("A", 1), buy("B", 1)), invoice("2", 20, buy("A", -5))) == {"1": {"B": 1}}
    # The return of day 20 uses up the purchase of day 10; that of day 30 can only reduce the purchase between them.
    events = [
        invoice("1", 10, buy("A", 3)),
        invoice("C2", 20, buy("A", -5)),
        invoice("3", 25, buy("A", 3)),
        invoice("C4", 30, buy("A", -1)),
    ]
    assert net_baskets(*events) == {"3": {"A": 2}}


def test_a_return_may_arrive_before_its_purchase() -> None:
    assert net_baskets(invoice("C2", 20, buy("A", -1))) == {}
    assert net_baskets(invoice("C2", 20, buy("A", -1)), invoice("1", 10, buy("A", 3))) == {"1": {"A": 2}}


def test_returns_are_applied_in_order_of_date_and_number() -> None:
    # C2 reduces "1" by 2 on day 20; C3 then reduces "2" (the latest) by 1 and "1" by 1.
    events = [
        invoice("1", 10, buy("A", 3)),
        invoice("C2", 20, buy("A", -2)),
        invoice("2", 21, buy("A", 1)),
        invoice("C3", 22, buy("A", -2)),
    ]
    assert net_baskets(*events) == {}
    assert net_baskets(*events[:2], *events[3:]) == {}
    assert net_baskets(*events[:3]) == {"1": {"A": 1}, "2": {"A": 1}}


def test_fractions_are_exact() -> None:
    tenths = [invoice(str(n), n, buy("A", 0.1)) for n in range(3)]
    assert net_baskets(*tenths, invoice("R", 9, buy("A", -0.3))) == {}


def test_the_window_has_the_last_invoices_including_returns() -> None:
    events = [invoice(str(n), n * DAY, buy("A", 1)) for n in range(1, 4)]
    result = history(*events, invoice("C4", 4 * DAY, buy("A", -1)), window=3)
    assert [one.invoice_no for one in result.invoices] == ["2", "3", "C4"]
    assert result.watermark == (DAY, "1")


def test_an_invoice_behind_the_watermark_changes_nothing() -> None:
    full = history(*(invoice(str(n), n, buy("A", 1)) for n in range(1, 5)), window=3)
    for number, date in (("1", 1), ("0", 1), ("x", 0)):
        added = add_invoice(full, invoice(number, date, buy("B", 1)), 3)
        assert added.behind_watermark
        assert added.history is full
    late = add_invoice(full, invoice("1x", 1, buy("B", 1)), 3)  # leaves the window at once
    assert not late.behind_watermark
    assert late.history.invoices == full.invoices
    assert late.history.watermark == (1, "1x")


def test_a_line_of_an_invoice_in_a_full_window_is_added() -> None:
    full = history(*(invoice(str(n), n, buy("A", 1)) for n in range(1, 5)), window=3)
    added = add_invoice(full, invoice("2", 0, buy("B", 1)), 3)
    assert [line.stock_code for line in added.new_lines] == ["B"]
    assert added.history.invoices[0].date == 0


def test_a_smaller_window_applies_at_the_next_change() -> None:
    result = history(*(invoice(str(n), n, buy("A", 1)) for n in range(1, 6)))
    result = add_invoice(result, invoice("6", 6, buy("A", 1)), 2).history
    assert [one.invoice_no for one in result.invoices] == ["5", "6"]
    assert result.watermark == (4, "4")


def test_demand_counts_a_code_once_an_invoice_at_the_invoices_date() -> None:
    first = add_invoice(CustomerHistory("c"), invoice("1", 9, buy("A", 1), buy("A", 2), buy("B", -1)), 100)
    assert first.demand_changes == [DemandChange(9, 1, 1.0, ("A",))]
    again = add_invoice(first.history, invoice("1", 9, buy("A", 3), buy("C", 1)), 100)
    half = 1.0 / math.sqrt(2.0)
    assert again.demand_changes == [DemandChange(9, 1, half, ("C",)), DemandChange(9, 0, half - 1.0, ("A",))]
    earlier = add_invoice(again.history, invoice("1", 4, buy("B", -1)), 100)
    back, there = [DemandChange(9, -1, -half, ("A", "C"))], [DemandChange(4, 1, half, ("A", "C"))]
    assert earlier.demand_changes == back + there
    grown = add_invoice(again.history, invoice("1", 4, buy("D", 1)), 100)
    assert grown.demand_changes == [*back, DemandChange(4, 1, 1.0 / math.sqrt(3.0), ("A", "C", "D"))]


def test_demand_follows_a_corrected_line() -> None:
    first = add_invoice(CustomerHistory("c"), invoice("1", 9, buy("B", 1, line_id="x")), 100)
    corrected = add_invoice(first.history, invoice("1", 9, buy("A", 1, line_id="x")), 100)
    assert corrected.demand_changes == [DemandChange(9, -1, -1.0, ("B",)), DemandChange(9, 1, 1.0, ("A",))]
    returned = add_invoice(first.history, invoice("1", 9, buy("B", -1, line_id="x")), 100)
    assert returned.demand_changes == [DemandChange(9, -1, -1.0, ("B",))]


def test_a_repeated_code_does_not_change_shares() -> None:
    first = add_invoice(CustomerHistory("c"), invoice("1", 9, buy("A", 1), buy("B", 1)), 100)
    assert add_invoice(first.history, invoice("1", 9, buy("A", 2), buy("C", -1)), 100).demand_changes == []


def test_the_canonical_form() -> None:
    result = history(
        invoice("581587", 1_323_435_000, buy("22613", 12), buy("22138", 3)),
        invoice('é\n"1"', -2_208_988_800, buy("b", 1.5), buy("a", 0.125), buy("A", 0.5), buy("A", 0.5, 2.0)),
        invoice("C1", 1_323_435_000, buy("x", 1)),
        invoice("C2", 1_323_435_001, buy("x", -1)),
    )
    line = canonical_json(CustomerHistory("12680", result.invoices))
    assert line == (
        b'{"customer_id":"12680","baskets":[{"invoice_no":"\xc3\xa9\\n\\"1\\"","invoice_date":"1900-01-01T00:00:00Z",'
        b'"items":{"A":1,"a":0.125,"b":1.5}},{"invoice_no":"581587","invoice_date":"2011-12-09T12:50:00Z",'
        b'"items":{"22138":3,"22613":12}}]}'
    )
    assert json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":")).encode() == line


def test_a_customer_without_a_basket_has_no_canonical_form() -> None:
    assert canonical_json(CustomerHistory("c")) is None
    assert canonical_json(history(invoice("1", 1, buy("A", 1)), invoice("C", 2, buy("A", -1)))) is None


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.data())
def test_any_order_and_repetition_gives_the_same_history(data: st.DataObject) -> None:
    events = data.draw(invoice_parts(customers=["c"]))
    assert history(*data.draw(arrivals(events))) == history(*data.draw(arrivals(events)))


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.data())
def test_the_same_holds_in_a_full_window_where_an_invoice_has_one_date(data: st.DataObject) -> None:
    events = one_date_each(data.draw(invoice_parts(customers=["c"])))
    one, other = (history(*data.draw(arrivals(events)), window=2) for _ in range(2))
    assert one == other


def test_a_long_code_counts_as_several_lines() -> None:
    codes = ["A", "4006381333931", "x" * 16, "😀" * 100, "y" * 10_000]
    history = add_invoice(
        CustomerHistory("c"), Invoice("1", "c", 100, tuple(Line(code, 1_000, 1.0) for code in codes)), 10
    ).history
    assert size_in_lines(history) == 1 + 1 + 2 + 26 + 32
