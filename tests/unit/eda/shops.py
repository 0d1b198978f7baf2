"""Small shops, worked by hand."""

from typing import Any

import pandas as pd

from state.settings import load_settings
from training.data.cleaning.clean import CleanedLines, clean
from training.data.columns import ALL
from training.data.tables.invoice_table import InvoiceTable, from_frame
from training.eda.sales import Sales, sales

MUG, TEA, CUP = ("mug", "red MUG", 5.0), ("tea", "Green tea", 1.0), ("cup", "red cup", 20.0)


def line(
    invoice: str,
    date: str,
    customer: str | None,
    item: tuple[str, str | None, float],
    quantity: float,
    country: str | None = "France",
) -> dict[str, Any]:
    code, description, price = item
    values = (invoice, code, quantity, date, price, customer, description, country, None)
    return dict(zip(ALL, values, strict=True))


SHOP = (
    line("1", "2024-01-01T10:00", "A", MUG, 2),  # a Monday
    line("1", "2024-01-01T10:00", "A", TEA, 10),
    line("2", "2024-01-03T12:30", "B", MUG, 1, "Spain"),
    line("3", "2024-01-11T12:00", "A", MUG, 1),
    line("3", "2024-01-11T12:00", "A", CUP, 1),
    line("4", "2024-01-15T09:00", "A", TEA, 5),
    line("5", "2024-01-15T09:00", "C", CUP, 2, None),
    line("6", "2024-02-01T09:00", "A", MUG, -1),
)
"""Three customers, five baskets, revenue 95 (mugs 20, tea 15, cups 60), and a mug of 11 January taken back: 90 "
"after returns."""


def table(*rows: dict[str, Any], timezone: str = "UTC") -> InvoiceTable:
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in ALL})
    return from_frame(frame, timezone=timezone)


def cleaned(*rows: dict[str, Any]) -> CleanedLines:
    return clean(table(*rows), load_settings({}))


def sold(*rows: dict[str, Any], timezone: str = "UTC") -> Sales:
    return sales(clean(table(*rows, timezone=timezone), load_settings({})), timezone)
