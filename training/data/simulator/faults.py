"""Dirt: what a real export has and a clean one has not. Rows come in UCI's columns and leave with faults among them."""

import numpy as np
import pandas as pd

_NO_PRODUCTS = (
    ("POST", "POSTAGE", 18.0),
    ("M", "Manual", 9.5),
    ("D", "Discount", 12.0),
    ("DOT", "DOTCOM POSTAGE", 120.0),
    ("BANK CHARGES", "Bank Charges", 15.0),
    ("C2", "CARRIAGE", 50.0),
)
_ODD = ("?", "damaged", "check", "wrongly marked", "found", "sold as set", None)


def add_faults(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Add faults to rows: duplicates, lines that are no product, corrections, free items, lower-case codes.

    Every fault keeps the order of time; none changes a clean row's invoice, customer, quantity or date.
    """
    if rows.empty:
        return rows
    rows = rows.copy()
    rows.loc[random.random(len(rows)) < 0.0006, "UnitPrice"] = 0.0
    lower = random.random(len(rows)) < 0.0005
    rows.loc[lower, "StockCode"] = rows.loc[lower, "StockCode"].str.lower()
    parts = [rows, rows[random.random(len(rows)) < 0.01], _charges(rows, random), _corrections(rows, random)]
    soiled = pd.concat(parts).sort_values(["InvoiceDate", "InvoiceNo"], kind="stable")
    return soiled.reset_index(drop=True)


def _charges(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Postage, manual and bank lines on some of the invoices."""
    charged = rows[random.random(len(rows)) < 0.005].copy()
    kinds = random.integers(0, len(_NO_PRODUCTS), len(charged))
    for column, place in (("StockCode", 0), ("Description", 1), ("UnitPrice", 2)):
        charged[column] = [_NO_PRODUCTS[profile][place] for profile in kinds.tolist()]
    charged["Quantity"] = np.sign(charged["Quantity"])
    return charged


def _corrections(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Stock corrections: nobody's, free, of negative quantity, described by whoever was in the warehouse."""
    corrected = rows[random.random(len(rows)) < 0.003].copy()
    corrected["CustomerID"] = np.nan
    corrected["UnitPrice"] = 0.0
    corrected["Quantity"] = -random.integers(1, 200, len(corrected))
    corrected["Description"] = pd.array(
        [_ODD[odd] for odd in random.integers(0, len(_ODD), len(corrected))], dtype="str"
    )
    return corrected
