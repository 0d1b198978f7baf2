"""The simulator's tables have the columns, types and faults of UCI, and the patterns that models learn."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from state.settings import Settings
from training.data import columns
from training.data.cleaning.clean import CleanedLines, clean
from training.data.cleaning.invoices import invoices
from training.data.simulator import GIFTS, GROCERIES, SMALL, shop, simulate, simulate_blocks, write_parquet, write_parts
from training.data.tables.invoice_table import from_frame, load, load_batches
from training.data.walk import walk
from training.progress import RecordedProgress, shown_by


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return simulate(customers=400, items=500, days=373, seed=3)


@pytest.fixture(scope="module")
def cleaned(raw: pd.DataFrame) -> CleanedLines:
    return clean(from_frame(raw), Settings())


def test_columns_and_types_are_those_of_uci(raw: pd.DataFrame) -> None:
    assert {name: str(kind) for name, kind in raw.dtypes.items()} == {
        "InvoiceNo": "str",
        "StockCode": "str",
        "Description": "str",
        "Quantity": "int64",
        "InvoiceDate": "datetime64[us]",
        "UnitPrice": "float64",
        "CustomerID": "float64",
        "Country": "str",
    }


def test_rows_are_in_the_order_of_time_on_open_days(raw: pd.DataFrame) -> None:
    assert raw["InvoiceDate"].is_monotonic_increasing
    assert raw["InvoiceDate"].dt.day_of_week.nunique() == 6
    assert 5 not in set(raw["InvoiceDate"].dt.day_of_week)


def test_the_same_seed_gives_the_same_table() -> None:
    options: Any = {"customers": 60, "items": 80, "days": 60}

    first = simulate(**options, seed=5)

    pd.testing.assert_frame_equal(first, simulate(**options, seed=5))
    assert not first.equals(simulate(**options, seed=6))


def test_there_are_faults_of_every_kind(cleaned: CleanedLines, raw: pd.DataFrame) -> None:
    dropped = {step.name: step.rows_in - step.rows_out for step in cleaned.ledger.steps}

    for name in ("anonymous", "duplicate", "not_a_product", "zero_price"):
        assert dropped[name] > 0, name
    assert cleaned.ledger.purchase_lines > 0.7 * len(raw)
    assert (raw["StockCode"] != raw["StockCode"].str.upper()).any()
    assert raw["Description"].isna().any()


def test_an_invoice_has_one_customer_date_and_sign(cleaned: CleanedLines) -> None:
    by_number = cleaned.frame.groupby(columns.INVOICE_NO)

    assert (by_number[columns.CUSTOMER_ID].nunique() == 1).all()
    assert (by_number["date"].nunique() == 1).all()
    signs = cleaned.frame[columns.QUANTITY] > 0
    cancelled = cleaned.frame[columns.INVOICE_NO].str.startswith("C")
    assert (signs != cancelled).all()


def test_cancelled_invoices_have_negative_quantities(raw: pd.DataFrame) -> None:
    cancelled = raw["InvoiceNo"].str.startswith("C")

    assert cancelled.any()
    assert (raw.loc[cancelled, "Quantity"] < 0).all()


def test_returned_items_were_bought_before(cleaned: CleanedLines) -> None:
    keys = [columns.CUSTOMER_ID, columns.STOCK_CODE]
    bought = cleaned.purchases.groupby(keys)["date"].min()
    back = cleaned.frame[cleaned.frame[columns.QUANTITY] < 0]
    first = pd.Series(bought.reindex(pd.MultiIndex.from_frame(back[keys])).to_numpy(), index=back.index)

    assert len(back) > 20
    assert (first <= back["date"]).mean() > 0.95


def test_customers_buy_again_what_they_bought(cleaned: CleanedLines) -> None:
    seen: dict[str, set[str]] = {}
    again = total = 0
    for invoice in invoices(cleaned):
        items = invoice.purchased_codes
        known = seen.setdefault(str(invoice.customer_id), set())
        if known and items:
            again += len(items & known)
            total += len(items)
        known |= items

    assert 0.3 < again / total < 0.7


def test_items_are_launched_and_seasons_come(cleaned: CleanedLines, raw: pd.DataFrame) -> None:
    first = cleaned.purchases.groupby(columns.STOCK_CODE)["date"].min()
    start = int(cleaned.frame["date"].min())
    month = raw["InvoiceDate"].dt.month
    wreaths = raw["Description"].str.contains("WREATH|BAUBLE|STOCKING", na=False)

    assert ((first - start) > 100 * 86_400).mean() > 0.1
    assert wreaths[month == 11].mean() > 1.5 * wreaths[month == 6].mean()


def test_a_shop_has_enough_prediction_points(cleaned: CleanedLines) -> None:
    log = invoices(cleaned)
    end = log[-1].date + 1

    assert sum(1 for _ in walk(log, moment="visit", start=end - 30 * 86_400, end=end, window=100)) > 50


def test_the_written_table_is_the_simulated_one(tmp_path: Path) -> None:
    options: Any = {"customers": 60, "items": 80, "days": 60, "seed": 5}
    path = tmp_path / "more" / "made.parquet"

    rows = write_parquet(path, **options)

    expected = simulate(**options)
    assert rows == len(expected)
    assert pq.ParquetFile(path).num_row_groups > 3
    pd.testing.assert_frame_equal(load(path).frame, from_frame(expected).frame)
    assert [entry.name for entry in path.parent.iterdir()] == ["made.parquet"]


def test_a_table_in_parts_is_the_table_in_one_file(tmp_path: Path) -> None:
    options: Any = {"customers": 60, "items": 80, "days": 120, "seed": 5}
    one, parts = tmp_path / "made.parquet", tmp_path / "more" / "made"

    rows = write_parts(parts, part_rows=600, **options)

    assert rows == write_parquet(one, **options)
    files = sorted(parts.iterdir())
    assert [each.name for each in files] == [f"part-{number:05}.parquet" for number in range(len(files))]
    assert len(files) > 2
    assert min(pq.ParquetFile(each).metadata.num_rows for each in files[:-1]) >= 600
    tables = list(load_batches(parts).tables)
    assert len(tables) == len(files)
    pd.testing.assert_frame_equal(pd.concat([table.frame for table in tables], ignore_index=True), load(one).frame)
    assert [each.name for each in parts.parent.iterdir()] == ["made"]


def test_a_shop_without_days_is_one_empty_part(tmp_path: Path) -> None:
    assert write_parts(tmp_path / "made", part_rows=10, days=0) == 0
    assert [each.name for each in (tmp_path / "made").iterdir()] == ["part-00000.parquet"]


@pytest.mark.parametrize("options", [{"days": 0}, {"days": 1}, {"customers": 1}, {"items": 1}, {"customers": 0}])
def test_very_small_shops(options: dict[str, int], tmp_path: Path) -> None:
    given: Any = {"customers": 5, "items": 20, "days": 30} | options

    rows = simulate(**given)

    assert list(rows.columns) == list(columns.UCI)
    assert write_parquet(tmp_path / "t.parquet", **given) == len(rows)


def repeats(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Of customers' purchases: the median number of invoices, of lines on one, and the share bought before."""
    bought = rows[rows["CustomerID"].notna() & (rows["Quantity"] > 0) & rows["StockCode"].str.match("[0-9]{5}")]
    lines = bought.drop_duplicates(["InvoiceNo", "StockCode"])
    first = ~lines.duplicated(["CustomerID", "StockCode"])
    invoices = lines.groupby("CustomerID")["InvoiceNo"].nunique()
    return float(invoices.median()), float(lines.groupby("InvoiceNo").size().median()), float(1 - first.mean())


def test_groceries_are_bought_every_week_and_again() -> None:
    rows = simulate(GROCERIES, customers=60, items=300, seed=3)

    baskets, size, again = repeats(rows)

    assert 20 <= baskets <= 60
    assert 8 <= size <= 30
    assert again > 0.75
    assert rows["Country"].mode().tolist() == ["Portugal"]
    assert set(rows["InvoiceDate"].dt.year) == {2021, 2022}
    assert rows["InvoiceDate"].dt.day_of_week.nunique() == 7


def test_a_small_shop_has_three_hundred_customers() -> None:
    rows = simulate(SMALL, seed=3)

    assert 250 < rows["CustomerID"].nunique() <= 300
    assert rows["InvoiceDate"].dt.year.min() == 2016
    assert repeats(rows)[2] < 0.6


def test_a_large_shop_comes_in_blocks_that_do_not_grow_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop, "_BLOCK_ROWS", 2_000)
    reported = RecordedProgress()
    with shown_by(reported):
        blocks = list(simulate_blocks(GIFTS, customers=3_000, days=28))
    of_a_day = max(block.groupby(block["InvoiceDate"].dt.date).size().max() for block in blocks)
    assert len(blocks) > 5
    assert max(len(block) for block in blocks) < 2_000 * 1.1 + of_a_day
    assert pd.concat(blocks)["InvoiceDate"].is_monotonic_increasing
    assert reported.updates[-1][:2] == (28, 28)
