"""Numbers as written in tables: signs, thousands, currencies and noise."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from state.settings import Settings
from tests.unit.data.exports import HEADER, HISTORIES, ROWS, changed, histories, notes, with_fourth, write
from training.data.log import read_table


@pytest.mark.parametrize("returned", ["8-", "(8)", "\u22128", "-8", "8.000-"])
def test_negative_quantities(returned: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(StockCode="22615", Quantity=returned))

    assert histories(path) == {"12680": HISTORIES["12680"]}


@pytest.mark.parametrize(
    ("quantity", "price", "mark"),
    [
        ("1.200", "1.085,50", ","),
        ("1 200", "0,85", ","),
        ("1\u00a0200", "1\u202f085,50 €", ","),
        ("1,200", "1,085.50", "."),
        ("1,200", "$0.85", "."),
        ("1'200", "CHF 1'085.50", "."),
        ("1,200.00", "0.85", "."),
        ("1.200,00", "0,85", ","),
    ],
)
def test_thousands_by_the_decimal_mark_of_the_file(quantity: str, price: str, mark: str, tmp_path: Path) -> None:
    rows = [[*row[:5], row[5].replace(".", mark), *row[6:]] for row in changed(Quantity=quantity)]
    rows[-1][5] = price

    path = write(tmp_path / "t.csv", rows, between=";")

    assert histories(path) == with_fourth({"22615": 1200})


def test_currencies_are_named(tmp_path: Path) -> None:
    assert "column UnitPrice: € is left out" in notes(write(tmp_path / "t.csv", changed(UnitPrice="€ 1.25")))


def test_floats_become_the_decimals_they_stand_for(tmp_path: Path) -> None:
    rows = changed(Quantity="0.30000000000000004", UnitPrice="0.1500000000000000021")
    assert histories(write(tmp_path / "t.csv", rows)) == with_fourth({"22615": 0.3})

    single = pd.DataFrame(ROWS, columns=HEADER).assign(
        Quantity=np.array([1.25, 0.85, 0.1, 12], np.float32), UnitPrice=np.float32(0.85)
    )
    single.to_parquet(tmp_path / "t.parquet")
    log, _ = read_table(tmp_path / "t.parquet", Settings())
    assert [(line.quantity, line.unit_price) for invoice in log for line in invoice.lines] == [
        *((1250, 0.85), (850, 0.85), (100, 0.85), (12_000, 0.85))
    ]


@pytest.mark.parametrize(
    "price",
    ["€ 1.25", "1.25 EUR", "US$ 1.25", "US$1.25", "A$1.25", "Rs. 1.25", "1.25 kr.", "1.25 Euro", "eur 1.25", "£1.25"],
)
def test_signs_of_currencies_are_left_out(price: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(UnitPrice=price))

    assert histories(path) == with_fourth({"22615": 8})
    assert "UnitPrice" in notes(path)


@pytest.mark.parametrize("price", ["4,-", "4,--", "4.-", "4,–"])
def test_a_dash_for_no_cents_is_no_sign(price: str, tmp_path: Path) -> None:
    rows = [[*row[:5], row[5].replace(".", ","), *row[6:]] for row in changed(UnitPrice=price)]
    path = write(tmp_path / "t.csv", rows, between=";")

    log, _ = read_table(path, Settings())
    assert {line.unit_price for invoice in log for line in invoice.lines} == {0.85, 2.55, 1.25, 4}


def test_a_minus_within_brackets_is_one_sign(tmp_path: Path) -> None:
    assert histories(write(tmp_path / "t.csv", changed(Quantity="(-8)"))) == {"12680": HISTORIES["12680"]}
