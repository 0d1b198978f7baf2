"""Each cleaning rule on a table worked by hand, and all of them against the decoder of the stream."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as testing
from hypothesis import strategies as st

from state.errors import InvalidEvent
from state.events.invoice import Line
from state.events.wire import Decoder
from state.settings import Settings
from tests.unit.data.tables import LINE, SECONDS, table
from training.data import columns
from training.data.cleaning.clean import ITEM, CleanedLines, clean
from training.data.cleaning.invoices import invoices
from training.data.errors import NothingLeft
from training.features.item_table import ItemTable

UCI = Settings(dialect="uci")
PLAIN = Settings(dialect="plain")


def dropped(cleaned: CleanedLines) -> dict[str, int]:
    """Rows that each step left out, steps that left out none not named."""
    steps = cleaned.ledger.steps
    return {step.name: step.rows_in - step.rows_out for step in steps if step.rows_in != step.rows_out}


def test_a_good_line_is_not_changed() -> None:
    cleaned = clean(table({}), UCI)

    assert dropped(cleaned) == {}
    row = cleaned.frame.iloc[0]
    assert row[columns.INVOICE_NO] == "581587"
    assert row[columns.CUSTOMER_ID] == "12680"
    assert row[columns.STOCK_CODE] == "22613"
    assert row[columns.QUANTITY] == 12_000
    assert row[columns.UNIT_PRICE] == 0.85
    assert row[columns.DATE] == SECONDS


def test_every_rule_leaves_out_its_rows() -> None:
    cleaned = clean(
        table(
            {},
            {},
            {"InvoiceNo": "1", "CustomerID": None},
            {"InvoiceNo": None},
            {"StockCode": "  "},
            {"StockCode": "9" * 101},
            {"InvoiceDate": "soon"},
            {"Quantity": None},
            {"Quantity": 0.0001},
            {"Quantity": -1e8},
            {"UnitPrice": 1e8},
            {"UnitPrice": -1e8},
            {"Description": "x" * 1001},
            {"CustomerID": "x" * 101},
            {"line_id": "x" * 101},
            {"StockCode": "POST"},
            {"Quantity": 0},
            {"UnitPrice": 0},
            {"UnitPrice": -1},
        ),
        UCI,
    )

    assert dropped(cleaned) == {
        "no_code": 3,
        "no_date": 1,
        "no_number": 5,
        "too_long": 3,
        "anonymous": 1,
        "duplicate": 1,
        "not_a_product": 1,
        "zero_quantity": 1,
        "zero_price": 1,
        "negative_price": 1,
    }
    assert cleaned.ledger.purchase_lines == 1


def test_the_ledger_adds_up() -> None:
    ledger = clean(table({}, {}, {"StockCode": "POST"}, {"CustomerID": None}), UCI).ledger

    assert ledger.steps[0].rows_in == 4
    assert [step.rows_in for step in ledger.steps[1:]] == [step.rows_out for step in ledger.steps[:-1]]
    assert ledger.steps[-1].rows_out == ledger.purchase_lines + ledger.return_lines


def test_the_ledger_as_text() -> None:
    lines = clean(table({}, {"Quantity": -1}, {"CustomerID": None}), UCI).ledger.lines()

    assert lines[0] == "How this table was read: dialect uci, zone UTC."
    assert [" ".join(line.split()) for line in lines[7:9]] == [
        "customer given 3 → 2 (−1)",
        "no exact duplicate of a row before 2 → 2 (−0)",
    ]
    assert [" ".join(line.split()) for line in lines[-4:-2]] == [
        "cancelled and taken back: separated as returns 2 → 2 (−0, 1 changed)",
        "one description per stock code, the newest 2 → 2 (−0)",
    ]
    assert len({line.index("→") for line in lines[1:-2]}) == 1
    assert lines[-2] == "purchases: 1 line, 1 invoice, 1 customer, 1 item"
    assert lines[-1] == "returns: 1 line, 1 invoice; lines that occur again in their invoice and count once: 0"


def test_duplicates_are_exact() -> None:
    cleaned = clean(table({}, {"Description": "SPACEBOY NAPKINS"}, {"InvoiceDate": "2011-12-09T12:51:00Z"}, {}), UCI)

    assert dropped(cleaned) == {"duplicate": 1}
    assert cleaned.ledger.repeated_lines == 2


def test_rows_that_differ_as_published_are_no_duplicates() -> None:
    """Both rows are the same line once they are cleaned, which the ledger counts as repeated."""
    cleaned = clean(table({"CustomerID": "12680"}, {"CustomerID": "12680.0"}), UCI)

    assert dropped(cleaned) == {}
    assert cleaned.ledger.repeated_lines == 1


def test_a_country_that_is_too_long_is_missing() -> None:
    assert clean(table({"Country": "x" * 101}), UCI).frame[columns.COUNTRY].isna().all()


def test_the_ledger_counts_purchases_and_returns_apart() -> None:
    ledger = clean(
        table(
            {},
            {"StockCode": "22614"},
            {"InvoiceNo": "2", "CustomerID": 12681.0},
            {"InvoiceNo": "C3", "Quantity": -1},
            {"InvoiceNo": "C4", "StockCode": "22615", "Quantity": -1, "CustomerID": 12682.0},
        ),
        UCI,
    ).ledger

    assert (ledger.purchase_lines, ledger.purchase_invoices, ledger.customers, ledger.items) == (3, 2, 2, 2)
    assert (ledger.return_lines, ledger.return_invoices) == (2, 2)


def test_without_purchases_the_ledger_names_the_reason() -> None:
    returns = clean(table({"Quantity": -1}), UCI).ledger
    with pytest.raises(NothingLeft, match="the only line that is left is a return"):
        returns.require_purchases()

    postage = clean(table({"StockCode": "POST"}, {"StockCode": "POST", "InvoiceNo": "2"}, {"UnitPrice": 0}), UCI).ledger
    with pytest.raises(NothingLeft, match=r"“stock code is a product's \(dialect uci\)” left out 2 of 3 rows"):
        postage.require_purchases()

    clean(table({}), UCI).ledger.require_purchases()


def test_lines_with_an_id_repeat_by_the_id() -> None:
    rows: list[dict[str, Any]] = [{"line_id": "1"}, {"line_id": "2"}, {"line_id": "2", "Quantity": 5}]

    assert clean(table(*rows), UCI).ledger.repeated_lines == 1


def test_the_uci_dialect_takes_codes_upper_case_and_invoices_c_for_returns() -> None:
    cleaned = clean(table({"StockCode": " 85123a "}, {"InvoiceNo": "C9", "Quantity": 2}, {"Quantity": -3}), UCI)

    assert cleaned.frame[columns.STOCK_CODE].tolist() == ["85123A", "22613", "22613"]
    assert cleaned.frame[columns.QUANTITY].tolist() == [12_000, -2_000, -3_000]
    assert cleaned.purchases[columns.QUANTITY].tolist() == [12_000]
    assert (cleaned.ledger.return_lines, cleaned.ledger.return_invoices) == (2, 2)


def test_the_plain_dialect_changes_no_code_and_no_sign() -> None:
    cleaned = clean(table({"StockCode": "post"}, {"InvoiceNo": "C9"}), PLAIN)

    assert cleaned.frame[columns.STOCK_CODE].tolist() == ["post", "22613"]
    assert cleaned.frame[columns.QUANTITY].tolist() == [12_000, 12_000]


def test_a_uci_table_is_in_the_uci_dialect_unless_another_is_set() -> None:
    raw = table({})

    assert clean(raw, Settings()).ledger.dialect == "uci"
    assert clean(raw, PLAIN).ledger.dialect == "plain"


def changed(cleaned: CleanedLines) -> dict[str, int]:
    """Rows that each step changed, steps that changed none not named."""
    return {step.name: step.changed for step in cleaned.ledger.steps if step.changed}


def test_every_rule_counts_what_it_changed() -> None:
    cleaned = clean(
        table(
            {"StockCode": " 85123a"},
            {"CustomerID": "12680.0", "Description": "NAPKINS  £1"},
            {"Country": "RÃ©union", "Quantity": -1},
            {"InvoiceNo": "C1", "Country": "RÃ©union", "Description": "GIFT Â£5", "StockCode": "22614"},
            {"CustomerID": None, "Description": "Â£5"},
            {"StockCode": "22616", "Description": "Â£6", "InvoiceDate": None},
        ),
        UCI,
    )

    # A description of its own has the second row, whose item's newest (of one date the larger) is the first's.
    assert changed(cleaned) == {
        "parsed": 6,  # customers as numbers, dates as text
        "no_code": 1,
        "encoding": 4,
        "anonymous": 1,
        "cancellation": 2,
        "description": 1,
    }
    assert cleaned.frame[columns.COUNTRY].tolist() == ["France", "France", "Réunion", "Réunion"]
    assert cleaned.frame[columns.DESCRIPTION].tolist()[3] == "GIFT £5"


def test_an_item_has_the_description_of_the_streams_item_state() -> None:
    cleaned = clean(
        table(
            {"Description": "OLD", "InvoiceDate": "2011-12-01T10:00:00Z"},
            {"Description": "NEWER", "InvoiceDate": "2011-12-03T10:00:00Z", "InvoiceNo": "2"},
            {"Description": "NEW", "InvoiceDate": "2011-12-03T10:00:00Z", "Quantity": 2},
            {"Description": "RETURNED", "InvoiceDate": "2011-12-09T10:00:00Z", "Quantity": -1},
            {"Description": None, "InvoiceDate": "2011-12-05T10:00:00Z"},
            {"Description": None, "StockCode": "10001"},
            {"Description": "ONLY RETURNED", "StockCode": "10002", "Quantity": -1},
        ),
        UCI,
    )
    items = ItemTable()
    for invoice in invoices(cleaned):
        items.sell(invoice.lines, invoice.date)

    described = cleaned.frame[ITEM]
    assert described.tolist()[:5] == ["NEWER"] * 5
    assert described.isna().tolist()[5:] == [True, False]
    assert described.tolist()[6] == "ONLY RETURNED"
    assert [items.description(code) for code in ("22613", "10001")] == ["NEWER", None]
    assert changed(cleaned)["description"] == 4
    assert cleaned.frame[columns.DESCRIPTION].tolist()[0] == "OLD"  # what was known then


def test_a_date_ahead_of_the_clock_is_refused() -> None:
    day = 86_400

    assert dropped(clean(table({}), UCI, clock=SECONDS - day)) == {}
    assert dropped(clean(table({}), UCI, clock=SECONDS - day - 1)) == {"no_date": 1}


def test_an_empty_table_is_clean() -> None:
    cleaned = clean(table(), UCI)

    assert len(cleaned.frame) == 0
    assert cleaned.ledger.purchase_lines == 0


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
CODES = st.sampled_from(["536365", " 536365", "C536379", "85123a", "POST", "22613", "", "  ", "x" * 101, 22613]) | TEXT
DATES = [  # but days without a time, which tables may hold and events may not
    *("2011-12-09T12:50:00Z", "2011-07-09 12:50", "12/9/2011 12:50", "9/12/2011 8:05", "1970-01-02T00:00:00Z"),
    *("2011-10-30 01:30:00", "2011-03-27T01:30", "2012-12-09T12:50:00Z", "2011-12", "13/13/2011 1:00", None),
]
ROWS = st.fixed_dictionaries(
    {
        "InvoiceNo": CODES,
        "StockCode": CODES,
        "Description": st.sampled_from([None, "MUG", " RED  MUG\t", "  ", "Â£5 MUG", "\ufffd", "x" * 1000, "x" * 1001]),
        "Quantity": st.sampled_from([1, -1, 0, 2.5, 0.001, 0.0001, 1.0005, 10_000_000, 10_000_001, None])
        | st.floats(-100, 100),
        "InvoiceDate": st.sampled_from(DATES),
        "UnitPrice": st.sampled_from([0.85, 0, -0.5, 10_000_000, 10_000_000.5, None]),
        "CustomerID": st.sampled_from(
            [12680.0, "12680", "12680.0", " 12680 ", "12680.5", 5.5, "x" * 101, "", " ", None]
        )
        | TEXT,
        "Country": st.sampled_from(["France", " France", "RÃ©union", "", None, "x" * 101]),
        "line_id": st.sampled_from([None, None, "1", 1, " 2 ", "", "  ", "x" * 101]),
    }
)


# Cleaning costs as much for one row as for twenty, so there are many rows in few examples.
@testing(max_examples=25, deadline=None)
@given(rows=st.lists(ROWS, max_size=20), dialect=st.sampled_from(["plain", "uci"]))
def test_cleaning_accepts_what_the_stream_accepts(rows: list[dict[str, Any]], dialect: Any) -> None:
    settings = Settings(dialect=dialect, timezone="Europe/London")
    distinct = {json.dumps(row): row for row in rows}
    decoder = Decoder(settings)
    expected: list[Any] = []
    for event in distinct:
        try:
            invoice = decoder.decode(event.encode(), now=SECONDS)
        except InvalidEvent:
            continue
        if invoice.customer_id is not None:
            expected.extend(
                (invoice.invoice_no, invoice.customer_id, invoice.date, invoice.attributes, line)
                for line in invoice.lines
            )

    dated = {"CustomerID": None}  # a column without any date is refused
    cleaned = clean(table(*distinct.values(), dated, timezone="Europe/London"), settings, clock=SECONDS)

    held = cleaned.frame.astype(object)
    held = held.where(held.notna(), None)
    taken = [
        (
            row["invoice_no"],
            row["customer_id"],
            row["date"],
            {} if row["country"] is None else {"country": row["country"]},
            Line(row["stock_code"], row["quantity"], row["unit_price"], row["description"], row["line_id"]),
        )
        for row in held.to_dict("records")
    ]
    assert taken == expected or _without_repeats(taken) == _without_repeats(expected)


def _without_repeats(lines: list[Any]) -> list[Any]:
    """Rows that differ as written may be the same line, which an exact-duplicate rule may or may not see."""
    return list(dict.fromkeys(repr(line) for line in lines))


def test_the_decoder_accepts_the_good_line() -> None:
    invoice = Decoder(UCI).decode(json.dumps(LINE).encode(), now=SECONDS)

    assert invoice.lines == (Line("22613", 12_000, 0.85, "PACK OF 20 SPACEBOY NAPKINS"),)
