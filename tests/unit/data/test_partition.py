"""A table in parts gives the same log and ledger as the whole table, whatever the order of its rows."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as testing
from hypothesis import strategies as st

from state.events.invoice import Invoice
from state.settings import Settings
from tests.unit.data.tables import frame
from training.data import columns
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.cleaning.ledger import Ledger, LedgerBuilder
from training.data.cleaning.partition import partition_by_customer
from training.data.errors import MissingColumns, NothingLeft, UnreadableTable
from training.data.log import merge_logs, read_table
from training.data.simulator import simulate
from training.data.tables import parquet
from training.data.tables.invoice_table import InvoiceTable, TableBatches, from_frame, load, load_batches

UCI = Settings(dialect="uci")

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "InvoiceNo": st.sampled_from(["1", "2", "C3", None]),
            "StockCode": st.sampled_from(["22613", "22613a", "85123A", "POST", " "]),
            "Description": st.sampled_from(["MUG", "MUG ", "NEW MUG", None]),
            "Quantity": st.sampled_from([-1, 0, 1, 6]),
            "InvoiceDate": st.sampled_from(["2011-01-03 10:00", "2011-01-03 10:01", "2011-02-01 09:00", None]),
            "UnitPrice": st.sampled_from([-1.0, 0.0, 1.5]),
            "CustomerID": st.sampled_from([12680.0, 12681.0, 12682.0, None]),
            "Country": st.sampled_from(["France", "Spain", None]),
            "LineID": st.sampled_from([None, None, "x"]),
        }
    ),
    min_size=1,
    max_size=40,
)


def at_once(raw: pd.DataFrame) -> tuple[list[Invoice], Ledger]:
    cleaned = clean(from_frame(raw), UCI)
    return invoices(cleaned), cleaned.ledger


def in_parts(raw: pd.DataFrame, stretch: int, rows: int) -> tuple[list[Invoice], Ledger]:
    """The table read ``stretch`` rows at a time and cleaned in parts of about ``rows``."""

    def stretches() -> Iterator[pd.DataFrame]:
        for start in range(0, len(raw), stretch):
            yield raw.iloc[start : start + stretch]

    builder = LedgerBuilder("uci")
    tables = TableBatches(len(raw), (from_frame(each) for each in stretches()))
    found = [invoices(clean(part, UCI, builder=builder)) for part in partition_by_customer(tables, rows)]
    return list(merge_logs(*found)), builder.build()


@given(rows=ROWS, stretch=st.integers(4, 20), size=st.integers(8, 30))
@testing(max_examples=20, deadline=None)
def test_parts_add_up_to_the_whole_table(rows: list[dict[str, Any]], stretch: int, size: int) -> None:
    raw = frame(*rows).astype({"InvoiceDate": "datetime64[s]"})

    assert in_parts(raw, stretch, size) == at_once(raw)


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_shop_from_parquet_is_read_in_batches(
    shuffled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = simulate(customers=60, items=80, days=120, seed=11)
    if shuffled:
        raw = raw.sample(frac=1.0, random_state=5, ignore_index=True)
    raw.to_parquet(tmp_path / "shop.parquet")
    monkeypatch.setattr(parquet, "BATCH_ROWS", 1_000)
    found = load_batches(tmp_path / "shop.parquet")
    assert found.rows == len(raw)
    assert [len(table.frame) for table in found.tables][:-1] == [1_000] * (len(raw) // 1_000)

    log, ledger = read_table(tmp_path / "shop.parquet", UCI)

    assert (list(log), ledger) == at_once(raw)


def test_a_parquet_file_of_invoices_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"stock_code": f"{code}", "quantity": 1, "unit_price": 2.0} for code in range(3)]
    day = pd.Timestamp("2011-01-03")
    rows = [
        {"invoice_no": f"{n}", "customer_id": f"c{n % 4}", "invoice_date": day, "lines": lines[: n % 4]}
        for n in range(50)
    ]
    path = tmp_path / "history.parquet"
    pd.DataFrame(rows).to_parquet(path)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 200)

    tables = list(load_batches(path).tables)

    assert len(tables) == 5
    together = pd.concat([table.frame for table in tables], ignore_index=True)
    pd.testing.assert_frame_equal(together, load(path).frame)
    assert list(read_table(path, Settings())[0]) == invoices(clean(load(path), Settings()))


def in_a_folder(folder: Path, *frames: pd.DataFrame) -> Path:
    folder.mkdir()
    for number, each in enumerate(frames):
        each.to_parquet(folder / f"part-{number:05}.parquet")
    return folder


def test_a_folder_of_parquet_files_is_read_in_batches_as_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = simulate(customers=60, items=80, days=120, seed=11)
    cuts = (0, 1_500, 1_500, len(raw) - 1, len(raw))  # one of the files is empty
    folder = in_a_folder(tmp_path / "shop", *(raw.iloc[start:end] for start, end in pairwise(cuts)))
    (folder / "_SUCCESS").touch()
    (folder / "notes.txt").write_text("of another format")
    monkeypatch.setattr(parquet, "BATCH_ROWS", 1_000)
    whole = load(folder)

    found = load_batches(folder)

    assert found.rows == len(raw)
    tables = list(found.tables)
    assert [len(table.frame) for table in tables] == [1_000, 500, 448, 1]
    pd.testing.assert_frame_equal(pd.concat([table.frame for table in tables], ignore_index=True), whole.frame)
    assert [each.what for each in tables[0].assumptions] == [
        "files of other formats, and folders, are not read",
        "4 files are read as one table",
    ]
    assert (list(read_table(folder, UCI)[0])) == invoices(clean(whole, UCI))


def test_files_that_only_together_show_how_they_are_read_are_read_at_once(tmp_path: Path) -> None:
    first = frame({"InvoiceNo": "1", "CustomerID": 12680.0, "InvoiceDate": "2011-01-03 10:00"}).astype(
        {"InvoiceDate": "datetime64[s]"}
    )
    later = first.assign(CustomerID=float("nan"))
    wider = first.assign(Shop="north")
    other = pd.DataFrame({"region": ["north"]})
    assert len(list(load_batches(in_a_folder(tmp_path / "same", first, first)).tables)) == 2
    for name, second in (("order", later), ("columns", wider), ("no table", other)):
        folder = in_a_folder(tmp_path / name, first, second)

        (table,) = load_batches(folder).tables

        pd.testing.assert_frame_equal(table.frame, load(folder).frame)
        assert table.frame[columns.CUSTOMER_ID].tolist() == ["12680"] * len(table.frame)


@pytest.mark.parametrize("column", ["InvoiceDate", "UnitPrice"])
def test_text_dates_and_numbers_are_read_in_one_batch(column: str, tmp_path: Path) -> None:
    raw = simulate(customers=20, items=30, days=60, seed=11)
    raw[column] = raw[column].astype("str")
    raw.to_parquet(tmp_path / "shop.parquet")

    (table,) = load_batches(tmp_path / "shop.parquet").tables

    assert len(table.frame) == len(raw)


def test_parts_without_rows() -> None:
    raw = frame(*[{"CustomerID": 12680.0, "InvoiceNo": f"{n}"} for n in range(12)])
    assert in_parts(raw, 5, 2) == at_once(raw)


def test_more_parts_than_files_are_the_same_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = frame(*[{"CustomerID": float(n) if n % 5 else None, "InvoiceNo": f"{n}"} for n in range(60)])
    table = from_frame(raw)

    def customers(parts: Iterator[InvoiceTable]) -> list[list[str]]:
        return [part.frame[columns.CUSTOMER_ID].dropna().tolist() for part in parts]

    direct = customers(partition_by_customer(TableBatches(60, iter([table])), 5))
    monkeypatch.setattr("training.data.cleaning.partition.MAX_FILES", 5)
    monkeypatch.setattr("training.data.cleaning.partition._ROWS_AT_ONCE", 7)
    few_files = list(partition_by_customer(TableBatches(60, iter([table])), 5))

    assert customers(iter(few_files)) == direct
    assert len(direct) == 12
    assert sum(len(part.frame) for part in few_files) == 60


def test_assumptions_and_changed_types_count_once(tmp_path: Path) -> None:
    raw = frame(*[{"CustomerID": 12680.0 + n, "UnitPrice": "1,5"} for n in range(12)])
    table = from_frame(raw)
    assert ([each.rows for each in table.assumptions], table.retyped) == ([12], 12)
    (comma,) = table.assumptions
    first, second = (
        replace(table, frame=each, retyped=len(each), assumptions=(replace(comma, rows=len(each)),))
        for each in (table.frame[:7], table.frame[7:])
    )

    parts = list(partition_by_customer(TableBatches(12, iter([first, second])), 4))

    assert sum(part.retyped for part in parts) == 12
    assert [part.assumptions for part in parts] == [table.assumptions, (), ()]
    assert sorted(columns.CUSTOMER_ID in part.frame for part in parts) == [True] * 3


def test_a_customer_is_in_one_part_however_the_id_is_written() -> None:
    raw = frame(*[{"CustomerID": ("12680", "12680.0", " 12680 ")[n % 3], "InvoiceNo": str(n // 3)} for n in range(12)])

    parts = partition_by_customer(TableBatches(12, iter([from_frame(raw)])), 2)

    assert sorted(len(part.frame) for part in parts) == [0] * 5 + [12]


def test_the_ledger_has_the_assumptions_of_all_parts() -> None:
    raw = frame(*[{"CustomerID": 12680.0 + n, "UnitPrice": "1,5"} for n in range(12)])

    _, ledger = in_parts(raw, 5, 4)

    assert [(each.what, each.rows) for each in ledger.assumptions] == [("a comma stands for the decimal point", 12)]


def test_a_table_without_rows_or_columns_and_a_broken_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    frame({}).iloc[:0].astype({"InvoiceDate": "datetime64[s]", "Quantity": "int64", "UnitPrice": "float64"}).to_parquet(
        path
    )
    with pytest.raises(NothingLeft, match="holds no rows"):
        read_table(path, Settings())
    frame({}).drop(columns="Quantity").to_parquet(path)
    with pytest.raises(MissingColumns, match="lacks quantity"):
        read_table(path, Settings())
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UnreadableTable):
        read_table(path, Settings())
