"""Cleaned lines as invoices, worked by hand."""

from typing import Any

from hypothesis import given
from hypothesis import settings as testing
from hypothesis import strategies as st

from state.events.invoice import Invoice, Line
from state.settings import Settings
from tests.unit.data.tables import SECONDS, table
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices

UCI = Settings(dialect="uci")
NAPKINS = "PACK OF 20 SPACEBOY NAPKINS"


def log(*rows: dict[str, Any]) -> list[Invoice]:
    return invoices(clean(table(*rows), UCI))


def test_lines_of_an_invoice_are_in_the_order_of_the_table() -> None:
    found = log({}, {"InvoiceNo": "9", "StockCode": "11111"}, {"StockCode": "22138", "Quantity": 1.5})

    first = (Line("22613", 12_000, 0.85, NAPKINS), Line("22138", 1_500, 0.85, NAPKINS))
    assert found == [
        Invoice("581587", "12680", SECONDS, first, {"country": "France"}),
        Invoice("9", "12680", SECONDS, (Line("11111", 12_000, 0.85, NAPKINS),), {"country": "France"}),
    ]


def test_an_invoice_has_the_date_of_its_earliest_line_that_counts() -> None:
    (invoice,) = log(
        {"InvoiceDate": "2011-12-09T12:52:00Z"},
        {"InvoiceDate": "2011-12-09T12:51:00Z", "StockCode": "22138"},
        {"InvoiceDate": "2011-12-09T12:50:00Z", "StockCode": "POST"},
    )

    assert invoice.date == SECONDS + 60


def test_the_log_is_sorted_by_date_and_number_as_text() -> None:
    early, late = "2011-12-09T12:50:00Z", "2011-12-09T12:51:00Z"
    found = log(
        {"InvoiceNo": "2", "InvoiceDate": late},
        {"InvoiceNo": "10", "InvoiceDate": late},
        {"InvoiceNo": "C3", "InvoiceDate": early, "Quantity": -1},
        {"InvoiceNo": "3", "InvoiceDate": early},
    )

    assert [invoice.invoice_no for invoice in found] == ["3", "C3", "10", "2"]


def test_returns_are_in_the_log() -> None:
    (back,) = log({"InvoiceNo": "C1", "Quantity": -2})

    assert back.lines == (Line("22613", -2_000, 0.85, NAPKINS),)


def test_one_invoice_number_of_two_customers_is_two_invoices() -> None:
    found = log({}, {"CustomerID": 12681.0})

    assert [(invoice.invoice_no, invoice.customer_id) for invoice in found] == [
        ("581587", "12680"),
        ("581587", "12681"),
    ]


def test_missing_values_are_none() -> None:
    (invoice,) = log({"Description": None, "Country": None})

    assert (invoice.attributes, invoice.lines[0].description, invoice.lines[0].line_id) == ({}, None, None)


def test_the_country_is_the_first_one_given() -> None:
    (invoice,) = log(
        {"Country": None},
        {"StockCode": "22138", "Country": "Spain"},
        {"StockCode": "22139", "Country": "France"},
    )

    assert invoice.attributes == {"country": "Spain"}


def test_a_table_without_lines_has_no_invoices() -> None:
    assert log() == []
    assert log({"CustomerID": None}) == []


@testing(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("123"), st.sampled_from(["1", "2"]), st.integers(0, 3), st.integers(1, 5)),
        max_size=30,
    )
)
def test_invoices_hold_every_line_of_the_table(rows: list[tuple[str, str, int, int]]) -> None:
    distinct = list(dict.fromkeys(rows))
    found = log(
        *(
            {"InvoiceNo": number, "CustomerID": customer, "InvoiceDate": f"2011-12-09T12:5{minute}:00Z", "Quantity": n}
            for number, customer, minute, n in distinct
        )
    )

    expected: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for number, customer, minute, quantity in distinct:
        expected.setdefault((number, customer), []).append((minute, quantity))
    assert {(invoice.invoice_no, str(invoice.customer_id)): invoice for invoice in found}.keys() == expected.keys()
    for invoice in found:
        lines = expected[(invoice.invoice_no, str(invoice.customer_id))]
        assert [line.quantity for line in invoice.lines] == [quantity * 1_000 for _, quantity in lines]
        assert invoice.date == SECONDS + 60 * min(minute for minute, _ in lines)
    assert found == sorted(found, key=lambda invoice: (invoice.date, invoice.invoice_no, invoice.customer_id))
