"""``export histories --data``: what a table becomes, without Kafka and Redis."""

import json
from pathlib import Path

import pytest

from state.domain.history import CustomerHistory, add_invoice, canonical_json
from state.events.wire import Decoder
from state.settings import Settings
from stream.cli.exit_codes import ExitCode
from stream.cli.main import main
from stream.tools.replay_events import replay_events
from training.data.table_rows import TableRows
from training.data.tables.invoice_table import load_batches

NOW = 2_000_000_000


def streamed(path: Path) -> list[bytes]:
    """The canonical histories after a replay of the table, an event a row."""
    settings = Settings(dialect="plain")
    decoder = Decoder(settings)
    histories: dict[str, CustomerHistory] = {}
    rows = TableRows(load_batches(path), settings)
    for event in replay_events(rows.parts(), "lines", since=None, until=None):
        invoice = decoder.decode(event.value, now=NOW)
        if invoice.customer_id is not None:
            held = histories.get(invoice.customer_id, CustomerHistory(invoice.customer_id))
            histories[invoice.customer_id] = add_invoice(held, invoice, settings.window).history
    lines = (canonical_json(histories[customer]) for customer in sorted(histories))
    return [line for line in lines if line is not None]


def test_the_histories_are_those_of_the_stream(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "histories.jsonl"

    # The simulated table has UCI's columns, so its dialect is set where none is.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEXTBASKET_DIALECT", "plain")
        assert main(["export", "histories", "--data", str(table), "--output", str(output)]) == ExitCode.OK

    assert output.read_bytes().splitlines() == streamed(table)
    shown = capsys.readouterr()
    assert "How this table was read: dialect plain, zone UTC." in shown.err
    assert "no exact duplicate of a row before" in shown.err
    assert shown.out.startswith("Wrote ")


def test_the_format_of_dates_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("user_id,date,item,order_id\n7,21/03/14,milk,1\n")

    assert main(["export", "histories", "--data", str(path)]) == ExitCode.DATA
    assert "give --date-format dmy" in capsys.readouterr().err
    assert main(["export", "histories", "--data", str(path), "--date-format", "ymd"]) == ExitCode.OK
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["baskets"][0]["invoice_date"] == "2021-03-14T00:00:00Z"
    assert main(["export", "histories", "--data", str(path), "--date-format", "day"]) == ExitCode.USAGE
    assert "--date-format 'day' cannot be used: it must be dmy, mdy, ymd" in capsys.readouterr().err


def test_a_table_without_purchases_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("user_id,date,item,order_id,qty\n7,2021-03-14,milk,1,2 pcs\n")

    assert main(["export", "histories", "--data", str(path)]) == ExitCode.DATA
    shown = capsys.readouterr().err
    assert (
        "column qty: a cell that is no number is missing, and its row is left out, for example 2 pcs (1 row)." in shown
    )
    assert "No purchase of a known customer is left after cleaning" in shown


def test_a_table_gives_histories_only(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "items", "--data", str(table)]) == ExitCode.USAGE
    assert "--data gives histories only" in capsys.readouterr().err
