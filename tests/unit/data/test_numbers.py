"""Numbers as written in tables: signs, thousands, currencies and noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from state.settings import Settings
from tests.unit.data.exports import HEADER, HISTORIES, ROWS, changed, histories, notes, with_fourth, write
from training.data.errors import UnclearNumbers
from training.data.log import read_table
from training.data.tables.invoice_table import load


@pytest.mark.parametrize("returned", ["8-", "(8)", "\u22128", "\u20108", "\u20118", "-8", "8.000-"])
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


def quantities(*texts: str, price: str = "1") -> list[list[str]]:
    """A row for each quantity, all with the same price."""
    dates = [f"2011-{month:02}-14 10:00" for month in range(1, 13)]
    return [
        [f"70000{n}", "22613", "MUG", text, date, price, "12680", "FR"]
        for n, (text, date) in enumerate(zip(texts, dates, strict=False), 1)
    ]


def read_quantities(path: Path, **settings: Any) -> list[float]:
    return [items["22613"] for items in histories(path, **settings)["12680"].values()]


@pytest.mark.parametrize("mark", [".", ","])
def test_groups_of_three_digits_among_smaller_whole_numbers_are_thousands(mark: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", quantities(f"1{mark}200", "2", "850"), between=";")

    assert read_quantities(path) == [1200, 2, 850]
    assert f"a {'point' if mark == '.' else 'comma'} separates thousands, as the numbers without a mark are below " in (
        notes(path)
    )
    assert f"for example 1{mark}200 (1 row). Otherwise: set NEXTBASKET_DECIMAL_MARK='{mark}'." in notes(path)


@pytest.mark.parametrize(
    ("texts", "price"),
    [
        (("1.200", "2.500", "3.000"), "1"),
        (("1,200", "2,500", "3,000"), "1"),
        (("1.200", "2", "1500"), "1"),
        (("1.200", "1,200"), "1"),
        (("2",), "1.205"),
        (("1.200", "2"), "1,205"),
        (("1.200", "2.5", "3"), "1,5"),
    ],
)
def test_a_mark_that_may_be_either_is_refused_with_the_setting(
    texts: tuple[str, ...], price: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "t.csv", quantities(*texts, price=price), between=";")

    with pytest.raises(UnclearNumbers, match=r"NEXTBASKET_DECIMAL_MARK='\.' .*NEXTBASKET_DECIMAL_MARK=','"):
        load(path)


@pytest.mark.parametrize(
    ("mark", "text", "read"), [(".", "1.200", 1.2), (",", "1.200", 1200), (".", "1,200", 1200), (",", "1,200", 1.2)]
)
def test_the_decimal_mark_can_be_set(mark: str, text: str, read: float, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", quantities(text), between=";")

    assert read_quantities(path, decimal_mark=mark) == [read]


def test_weights_below_one_show_the_decimal_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", quantities("1.205", "0.314", "3.441"))

    assert read_quantities(path) == [1.205, 0.314, 3.441]


def test_blanks_between_thousands_leave_the_mark_to_the_decimals(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", quantities("1 200", "1.205"))

    assert read_quantities(path) == [1200, 1.205]


@pytest.mark.parametrize(
    ("quantity", "price"), [("1200", "€ 1,25"), ("1200", "1,25 €"), ("1’200", "1,25"), ("1\u00a0200", "1,25")]
)
def test_signs_of_windows_1252_in_numbers(quantity: str, price: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", changed(Quantity=quantity, UnitPrice=price), between=";")
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))

    assert histories(path) == with_fourth({"22615": 1200})
