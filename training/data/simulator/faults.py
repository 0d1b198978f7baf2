"""Faults: what a real export contains besides clean sales, added to rows in UCI's columns."""

import numpy as np
import pandas as pd

_CHARGES = (
    ("POST", "POSTAGE", 18.0),
    ("M", "Manual", 9.5),
    ("D", "Discount", 12.0),
    ("DOT", "DOTCOM POSTAGE", 120.0),
    ("BANK CHARGES", "Bank Charges", 15.0),
    ("C2", "CARRIAGE", 50.0),
)
"""Stock code, description and price of lines that are no products."""
_REMARKS = ("?", "damaged", "check", "wrongly marked", "found", "sold as set", None)
"""Descriptions of stock corrections."""


def add_faults(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Add faults to rows: duplicates, charges, stock corrections, free items, lower-case codes.

    Rows stay in the order of time, and clean rows keep their invoice, customer, quantity and date.
    """
    if rows.empty:
        return rows
    rows = rows.copy()
    rows.loc[random.random(len(rows)) < 0.0006, "UnitPrice"] = 0.0
    lower = random.random(len(rows)) < 0.0005
    rows.loc[lower, "StockCode"] = rows.loc[lower, "StockCode"].str.lower()
    duplicates = rows[random.random(len(rows)) < 0.01]
    parts = [rows, duplicates, _charges(rows, random), _corrections(rows, random)]
    return pd.concat(parts).sort_values(["InvoiceDate", "InvoiceNo"], kind="stable").reset_index(drop=True)


def _charges(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Postage, manual and bank lines on some of the invoices."""
    charged = rows[random.random(len(rows)) < 0.005].copy()
    drawn = [_CHARGES[index] for index in random.integers(0, len(_CHARGES), len(charged)).tolist()]
    charged["StockCode"] = [code for code, _, _ in drawn]
    charged["Description"] = [description for _, description, _ in drawn]
    charged["UnitPrice"] = [price for _, _, price in drawn]
    charged["Quantity"] = np.sign(charged["Quantity"])
    return charged


def _corrections(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Stock corrections: without customer and price, of negative quantity, with a remark as description."""
    corrected = rows[random.random(len(rows)) < 0.003].copy()
    corrected["CustomerID"] = np.nan
    corrected["UnitPrice"] = 0.0
    corrected["Quantity"] = -random.integers(1, 200, len(corrected))
    remarks = [_REMARKS[index] for index in random.integers(0, len(_REMARKS), len(corrected))]
    corrected["Description"] = pd.array(remarks, dtype="str")
    return corrected
