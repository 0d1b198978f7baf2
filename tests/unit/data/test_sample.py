"""A sample of a table: some of the customers with all of their rows, read as in the whole table."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from training.data.cleaning.sample import read_sample
from training.data.simulator import simulate
from training.data.tables import parquet
from training.data.tables.invoice_table import (
    InvoiceTable,
    TableBatches,
    from_frame,
    load,
    load_batches,
    separate_invoices,
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "shop.parquet"
    simulate(customers=200, items=60, days=120, seed=5).to_parquet(path)
    return path


def batches(frame: pd.DataFrame, size: int) -> TableBatches:
    table = from_frame(frame)
    tables = (
        replace(table, frame=table.frame[first : first + size].reset_index(drop=True))
        for first in range(0, len(frame), size)
    )
    return TableBatches(len(frame), tables)


def test_without_a_share_it_is_the_whole_table(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(shop)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 1_000)
    found = load_batches(shop)

    read = separate_invoices(read_sample(found))

    assert found.rows > 3_000
    pd.testing.assert_frame_equal(read.frame, whole.frame)
    assert (read.uci, read.start_anew, read.retyped) == (whole.uci, whole.start_anew, whole.retyped)
    assert read.assumptions == whole.assumptions


def test_a_sample_has_all_rows_of_its_customers_however_the_table_is_split(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load(shop)

    def sampled(rows: int) -> InvoiceTable:
        monkeypatch.setattr(parquet, "BATCH_ROWS", rows)
        return read_sample(load_batches(shop), 0.25)

    some = sampled(1_000)

    pd.testing.assert_frame_equal(some.frame, sampled(1_700).frame)
    drawn = some.frame["customer_id"].dropna()
    expected = whole.frame[whole.frame["customer_id"].isin(drawn)]
    assert drawn.tolist() == expected["customer_id"].tolist()
    assert 0.15 < drawn.nunique() / whole.frame["customer_id"].nunique() < 0.35
    anonymous = some.frame[some.frame["customer_id"].isna()]
    of_numbers = whole.frame[
        whole.frame["customer_id"].isna() & whole.frame["invoice_no"].isin(anonymous["invoice_no"])
    ]
    assert 0 < len(anonymous) == len(of_numbers)
    assert (some.uci, some.assumptions) == (True, whole.assumptions)
    assert some.retyped == pytest.approx(whole.retyped * len(some.frame) / len(whole.frame), rel=0.05)


def test_numbers_that_start_anew_are_found_by_all_rows() -> None:
    """Each number has two customers, of whom a small sample has one at most."""
    rows = [
        {"invoice_no": f"{at // 2}", "customer_id": f"c{at}", "stock_code": "a", "quantity": 1, "unit_price": 1.0}
        | {"invoice_date": pd.Timestamp("2011-12-05")}
        for at in range(200)
    ]

    some = read_sample(batches(pd.DataFrame(rows), 7), 0.02)

    assert not some.frame["invoice_no"].duplicated().any()
    assert some.start_anew


def test_rows_without_customer_and_number_are_drawn_one_by_one() -> None:
    rows = [
        {"invoice_no": None, "customer_id": None, "stock_code": "a", "quantity": 1, "unit_price": 1.0}
        | {"invoice_date": pd.Timestamp("2011-12-05")}
        for _ in range(200)
    ]

    assert 60 < len(read_sample(batches(pd.DataFrame(rows), 7), 0.5).frame) < 140
