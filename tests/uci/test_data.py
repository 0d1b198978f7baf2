"""The figures of the evaluation protocol on UCI Online Retail: its content, its ledger and its folds."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from state.events.invoice import Invoice
from state.settings import Settings
from training.data.cleaning.clean import ITEM, CleanedLines
from training.data.log import read_table
from training.data.sources.checksum import UCI_ONLINE_RETAIL, checksum
from training.data.tables.invoice_table import InvoiceTable
from training.data.walk import StateReplay, walk


def test_the_table_is_the_published_one(table: InvoiceTable) -> None:
    assert len(table.frame) == 541_909
    assert table.uci
    assert checksum(table) == UCI_ONLINE_RETAIL


def test_the_ledger_is_that_of_the_evaluation_protocol(cleaned: CleanedLines) -> None:
    ledger = cleaned.ledger

    assert {step.name: step.rows_in - step.rows_out for step in ledger.steps if step.rows_in != step.rows_out} == {
        "anonymous": 135_080,
        "duplicate": 5_225,
        "not_a_product": 1_915,
        "zero_price": 33,
    }
    assert {step.name: step.changed for step in ledger.steps if step.changed} == {
        "parsed": 406_829,  # customers are floating point numbers in it
        "no_code": 1_977,
        "encoding": 128_367,
        "cancellation": 8_506,
        "description": 11_402,
    }
    assert (ledger.purchase_lines, ledger.purchase_invoices) == (391_150, 18_402)
    assert (ledger.customers, ledger.items) == (4_334, 3_659)
    assert (ledger.return_lines, ledger.return_invoices, ledger.repeated_lines) == (8_506, 3_383, 3)


def test_reading_in_batches_gives_the_same(path: Path, cleaned: CleanedLines, log: list[Invoice]) -> None:
    in_batches, ledger = read_table(path, Settings())

    assert ledger == cleaned.ledger
    assert list(in_batches) == log


def test_each_item_has_the_description_of_the_streams_state(cleaned: CleanedLines, log: list[Invoice]) -> None:
    replay = StateReplay(window=100)
    for invoice in log:
        replay.apply(invoice)

    bought = cleaned.purchases.drop_duplicates("stock_code")
    assert len(bought) == len(replay.items.codes) == 3_659
    assert bought[ITEM].tolist() == [replay.items.description(code) for code in bought["stock_code"]]


def test_the_log_holds_every_line(log: list[Invoice]) -> None:
    assert len(log) == 18_402 + 3_383
    assert sum(len(invoice.lines) for invoice in log) == 391_150 + 8_506


@pytest.mark.parametrize(
    ("start", "end", "points"),
    [((2011, 11, 9), (2011, 12, 10), 2_516), ((2011, 6, 1), (2011, 8, 1), 2_282)],
    ids=["autumn", "summer"],
)
def test_the_folds_have_as_many_prediction_points(
    log: list[Invoice], start: tuple[int, int, int], end: tuple[int, int, int], points: int
) -> None:
    since, until = (int(datetime(*day, tzinfo=UTC).timestamp()) for day in (start, end))

    found = [point.moment for point in walk(log, moment="both", start=since, end=until, window=100)]

    assert (found.count("visit"), found.count("emission")) == (points, points)
