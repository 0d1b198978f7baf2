"""An export of a shop in UCI's columns, written as the tests need it, and what is read of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from state.domain.history import canonical_json
from state.settings import Settings
from training.data.log import read_table
from training.data.walk import StateReplay

HEADER = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
ROWS = [
    ["700001", "22613", "MUG", "12", "2011-03-14 10:00", "0.85", "12680", "France"],
    ["700001", "22614", "BOWL", "2", "2011-03-14 10:00", "2.55", "12680", "France"],
    ["700002", "22613", "MUG", "6", "2011-04-15 11:00", "0.85", "12680", "France"],
    ["700003", "22615", "PLATE", "4", "2011-05-16 09:30", "1.25", "12681", "France"],
]
Histories = dict[str, dict[str, dict[str, float]]]
HISTORIES: Histories = {
    "12680": {"700001": {"22613": 12, "22614": 2}, "700002": {"22613": 6}},
    "12681": {"700003": {"22615": 4}},
}


def write(path: Path, rows: Sequence[Sequence[str]] = ROWS, header: Sequence[str] = HEADER, between: str = ",") -> Path:
    path.write_text("".join(between.join(row) + "\n" for row in [header, *rows]), encoding="utf-8")
    return path


def changed(**cells: str) -> list[list[str]]:
    """``ROWS`` and one more of customer 12681 with changed cells."""
    last = ["700004", "22615", "PLATE", "8", "2011-06-17 09:30", "1.25", "12681", "France"]
    return [*map(list, ROWS), [cells.get(name, cell) for name, cell in zip(HEADER, last, strict=True)]]


def histories(path: Path, **settings: Any) -> Histories:
    """The baskets of each customer after a table, in the dialect plain unless another is given."""
    log, _ = read_table(path, Settings(**({"dialect": "plain"} | settings)))
    replay = StateReplay(100)
    for invoice in log:
        replay.apply(invoice)
    found = [json.loads(line) for each in replay.histories.values() if (line := canonical_json(each)) is not None]
    result: Histories = {
        each["customer_id"]: {basket["invoice_no"]: basket["items"] for basket in each["baskets"]} for each in found
    }
    return result


def with_fourth(items: dict[str, float]) -> Histories:
    return HISTORIES | {"12681": HISTORIES["12681"] | {"700004": items}}


def notes(path: Path, **settings: Any) -> str:
    """What was assumed about a table, a sentence a line."""
    return "\n".join(each.sentence() for each in read_table(path, Settings(**settings))[1].assumptions)
