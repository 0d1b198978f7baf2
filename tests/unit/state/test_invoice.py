"""Purchases, returns and codes of invoices and of the invoices in a history."""

from collections.abc import Callable

import pytest

from state import CustomerHistory, HeldInvoice, HeldLine, Invoice, Line

LINES = [("B", 1_000), ("A", 2_000), ("B", 500), ("C", -1_000), ("A", -2_000)]


def invoice(*lines: tuple[str, int]) -> Invoice:
    return Invoice("1", "c", 7, tuple(Line(code, quantity, 1.0) for code, quantity in lines))


def held(*lines: tuple[str, int], date: int = 7) -> HeldInvoice:
    return HeldInvoice("1", date, tuple(HeldLine(code, quantity, 1.0) for code, quantity in lines))


@pytest.mark.parametrize("make", [invoice, held])
def test_purchased_codes_are_those_of_the_purchase_lines(make: Callable[..., Invoice | HeldInvoice]) -> None:
    assert make(*LINES).purchased_codes == {"A", "B"}
    assert make(*LINES).purchased_codes_in_order == ("B", "A")
    assert make(("C", -1_000)).purchased_codes == make().purchased_codes == frozenset()
    assert make(("C", -1_000)).purchased_codes_in_order == ()


@pytest.mark.parametrize("make", [invoice, held])
def test_an_invoice_of_returns_is_no_purchase(make: Callable[..., Invoice | HeldInvoice]) -> None:
    assert make(*LINES).is_purchase
    assert not make(("C", -1_000)).is_purchase
    assert not make().is_purchase


def test_purchase_dates_leave_out_invoices_of_returns() -> None:
    history = CustomerHistory(
        "c", (held(("A", 1_000), date=3), held(("A", -1_000), date=5), held(("B", 1_000), date=8))
    )
    assert history.purchase_dates == [3, 8]


def test_returned_codes_are_those_of_the_return_lines_of_all_invoices() -> None:
    history = CustomerHistory("c", (held(*LINES), held(("D", -1_000)), held(("E", 1_000))))
    assert history.returned_codes == {"A", "C", "D"}
    assert CustomerHistory("c", (held(("E", 1_000)),)).returned_codes == frozenset()
