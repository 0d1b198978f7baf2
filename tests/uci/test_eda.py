"""The report of UCI Online Retail, against figures known of it."""

from state.settings import Settings
from training.data.cleaning.clean import CleanedLines, dialect_of
from training.data.tables.invoice_table import InvoiceTable
from training.eda.items import best_sellers, items
from training.eda.quality import checks, unusual_code_table
from training.eda.sales import sales
from training.eda.times import by_day


def test_checks(table: InvoiceTable) -> None:
    found = {check.name: int(check.rows.sum()) for check in checks(table, dialect_of(table, Settings()))}
    assert {name: rows for name, rows in found.items() if rows} == {
        "no customer": 135_080,
        "no description": 1_454,
        "exact duplicate of a row before": 5_268,
        "quantity below 0": 10_624,
        "quantity below 0, invoice not cancelled": 1_336,
        "price is 0": 2_515,
        "price below 0": 2,
        "unusual stock code": 2_995,
        "description that is not its code's usual one": 7_571,
    }
    assert unusual_code_table(table, dialect_of(table, Settings())).head(3)["rows"].to_dict() == {
        "POST": 1_256,
        "DOT": 710,
        "M": 572,
    }


def test_sales(cleaned: CleanedLines) -> None:
    sold = sales(cleaned, "UTC")
    assert (len(sold.lines), len(sold.baskets), len(sold.returns)) == (391_150, 18_402, 8_506)
    best = best_sellers(items(sold), "units", 1)
    assert best["units"].to_dict() == {"84077": 53_119.0}
    assert items(sold)["units"].to_dict()["23843"] == 0.0  # 80,995 were sold on 9 December, and came back the same day
    assert str(by_day(sold).idxmax()) == "2011-09-20 00:00:00"
