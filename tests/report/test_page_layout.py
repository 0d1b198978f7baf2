"""The pages on a phone, a tablet, a desk and on paper, laid out by Chromium: nothing is cut or must be scrolled."""

from pathlib import Path

import pytest

from state.settings import load_settings
from tests.report.browser import PAPER, as_printed, needs_chromium, overflowing
from tests.unit.eda.shops import SHOP, line, table
from tests.unit.evaluation.comparisons import comparison
from training.eda import build_report
from training.evaluation.page import page
from training.evaluation.report import as_dict
from training.evaluation.variants import Variant
from training.report import Page, Section, Table, render

pytestmark = needs_chromium

WIDTHS = (320, 400, 640, 720, 800, 1280)


def assert_fits(html: str, folder: Path) -> None:
    screens = overflowing([*((html, width) for width in WIDTHS), (as_printed(html), PAPER)], folder)
    assert {name: found for name, found in zip((*WIDTHS, "paper"), screens, strict=True) if found} == {}


def test_an_evaluation(tmp_path: Path) -> None:
    """With all tables, at both moments; one variant has a long name."""
    report = as_dict(comparison(moments=("visit", "emission")))
    long = str(Variant("basket_lstm", (("without", "text"), ("epochs", "3"), ("dropout", "0.25"))))
    for result in report["moments"].values():
        for by_name in (result["models"], *result["gains"].values(), *result["ablations"].values()):
            if "good:without=b" in by_name:
                by_name[long] = by_name["good:without=b"]
    assert_fits(render(page(report, footer=f"Made by: nextbasket evaluate --models {','.join([long] * 5)}")), tmp_path)


def test_a_table(tmp_path: Path) -> None:
    """With a description and a stock code that have no blank to break a line at."""
    odd = line("9" * 30, "2024-01-03", "A", ("C" * 40, "D" * 60, 123_456_789.0), 1_000)
    assert_fits(render(build_report(table(*SHOP, odd), load_settings({}), name="n" * 60 + ".parquet")), tmp_path)


@pytest.mark.parametrize("columns", [2, 4, 6, 8])
def test_a_table_of_numbers(columns: int, tmp_path: Path) -> None:
    row = ["basket_lstm:without=text", *["1,234,567"] * (columns - 1)]
    numbers = Table("A caption that is longer than a phone is wide", ["model", *["recall@20"] * (columns - 1)], [row])
    assert_fits(render(Page("Numbers", "", [Section("One", blocks=[numbers])])), tmp_path)


def test_what_does_not_fit_is_found(tmp_path: Path) -> None:
    html = "<!doctype html><body style='margin:0'><p style='width:500px'>wide</p>"
    assert overflowing([(html, 400), (html, 800)], tmp_path)[1] == []
    assert "P: wide" in overflowing([(html, 400)], tmp_path)[0]
