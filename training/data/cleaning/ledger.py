"""Ledger: the account of a cleaning, of one table or added up over its parts."""

from collections.abc import Sequence

import msgspec
import pandas as pd

from training.data import columns
from training.data.errors import NothingLeft


class Step(msgspec.Struct, frozen=True):
    """What one rule did: rows before and after it, and how many of those after it it changed."""

    name: str
    rule: str
    rows_in: int
    rows_out: int
    changed: int = 0

    def plus(self, other: "Step") -> "Step":
        """The same rule over the rows of both."""
        return Step(
            self.name,
            self.rule,
            self.rows_in + other.rows_in,
            self.rows_out + other.rows_out,
            self.changed + other.changed,
        )


class Ledger(msgspec.Struct, frozen=True):
    """The account of a cleaning: its steps in order, and what is left.

    ``notes`` are sentences about what reading the table took for granted. Purchases are lines with a quantity above 0,
    which is what the evaluation protocol counts; returns are kept beside them, because the stream nets them out.
    ``repeated_lines``: lines that occur again within their invoice with the same stock code, quantity and price (or
    line id); histories count them once.
    """

    dialect: str
    notes: tuple[str, ...]
    steps: list[Step]
    purchase_lines: int
    purchase_invoices: int
    customers: int
    items: int
    return_lines: int
    return_invoices: int
    repeated_lines: int

    def lines(self) -> list[str]:
        """The ledger as text, a note or a step a line, for people to read."""
        width = max(len(step.rule) for step in self.steps)
        return [
            *self.notes,
            *(
                f"{step.rule:<{width}} {step.rows_in:>12,} → {step.rows_out:>12,}  (−{step.rows_in - step.rows_out:,}"
                + (f", {step.changed:,} changed)" if step.changed else ")")
                for step in self.steps
            ),
            f"purchases: {self.purchase_lines:,} lines, {self.purchase_invoices:,} invoices, "
            f"{self.customers:,} customers, {self.items:,} items",
            f"returns: {self.return_lines:,} lines, {self.return_invoices:,} invoices; lines that occur again in their "
            f"invoice and count once: {self.repeated_lines:,}",
        ]

    def require_purchases(self) -> None:
        """Make sure that something is left to learn from or to judge by.

        Raises:
            NothingLeft: No purchase is; the message says which rule left out most.
        """
        if self.purchase_lines:
            return
        most = max(self.steps, key=lambda step: step.rows_in - step.rows_out)
        why = f"“{most.rule}” left out {most.rows_in - most.rows_out:,} of {self.steps[0].rows_in:,} rows"
        if self.return_lines:
            why = f"all {self.return_lines:,} lines that are left are returns"
        raise NothingLeft(f"No purchase of a known customer is left after cleaning: {why}. Check the table's columns.")


class LedgerBuilder:
    """Adds up a cleaning part by part; it holds numbers of each description, no line.

    All rows of a customer are in one part: then sums over parts are what the whole table would give.
    """

    def __init__(self, dialect: str) -> None:
        """Begin an account of nothing, in a dialect's name."""
        self._dialect = dialect
        self._notes: dict[str, None] = {}
        self._steps: list[Step] = []
        self._customers = 0
        self._repeated = 0
        self._invoices = {True: 0, False: 0}
        self._texts = pd.DataFrame()

    def add(self, frame: pd.DataFrame, steps: Sequence[Step], notes: Sequence[str]) -> None:
        """Add a part: its cleaned lines, what the rules before that did, and what reading it took for granted."""
        self._notes |= dict.fromkeys(notes)
        before = self._steps or [Step(step.name, step.rule, 0, 0) for step in steps]
        self._steps = [one.plus(other) for one, other in zip(before, steps, strict=True)]
        bought = frame[columns.QUANTITY] > 0
        invoice = [columns.CUSTOMER_ID, columns.INVOICE_NO]
        for kind in self._invoices:
            self._invoices[kind] += int((~frame.loc[bought == kind, invoice].duplicated()).sum())
        self._customers += frame.loc[bought, columns.CUSTOMER_ID].nunique()
        content = [columns.STOCK_CODE, columns.QUANTITY, columns.UNIT_PRICE]
        named = frame[columns.LINE_ID].notna()
        self._repeated += int(frame[~named].duplicated([*invoice, *content]).sum())
        self._repeated += int(frame[named].duplicated([*invoice, columns.LINE_ID]).sum())
        texts = frame[[columns.STOCK_CODE, columns.DATE]].assign(
            bought=bought, lines=1, description=frame[columns.DESCRIPTION].fillna("")
        )
        key = [columns.STOCK_CODE, columns.DESCRIPTION, "bought"]
        both = pd.concat([self._texts, texts]) if len(self._texts) else texts
        self._texts = both.groupby(key, as_index=False).agg({columns.DATE: "max", "lines": "sum"})

    def descriptions(self) -> pd.Series:
        """The one description of each stock code, indexed by it: the newest, of one date the larger text.

        It is what the stream's item state holds after the same lines (``observe``), which only purchases
        describe; an item that was never bought is described by its returns.
        """
        described = self._texts[self._texts[columns.DESCRIPTION] != ""]
        ordered = described.sort_values(["bought", columns.DATE, columns.DESCRIPTION])
        return ordered.groupby(columns.STOCK_CODE)[columns.DESCRIPTION].last()

    def ledger(self) -> Ledger:
        """The account of all parts so far."""
        lines = self._texts.groupby("bought")["lines"].sum().reindex([True, False], fill_value=0)
        known = self._texts[columns.STOCK_CODE].map(self.descriptions()).astype("str").fillna("")
        renamed = int(self._texts.loc[self._texts[columns.DESCRIPTION] != known, "lines"].sum())
        left = int(lines.sum())
        return Ledger(
            dialect=self._dialect,
            notes=tuple(self._notes),
            steps=[
                *self._steps,
                Step("cancellation", "cancelled and taken back: set apart as returns", left, left, int(lines[False])),
                Step("description", "one description per stock code, the newest", left, left, renamed),
            ],
            purchase_lines=int(lines[True]),
            purchase_invoices=self._invoices[True],
            customers=self._customers,
            items=self._texts.loc[self._texts["bought"], columns.STOCK_CODE].nunique(),
            return_lines=int(lines[False]),
            return_invoices=self._invoices[False],
            repeated_lines=self._repeated,
        )
