"""Ledger: what each cleaning step removed or changed, of one table or added up over its parts."""

import re
from collections.abc import Sequence
from typing import Self

import msgspec
import pandas as pd

from state.wording import count
from training.data import columns
from training.data.assumption import Assumption, Reading, merge_assumptions
from training.data.errors import NothingLeft

_BUSIEST = 101
"""Customers whose invoices are compared: one, and the hundred after it."""
_MIN_INVOICES = 3
_MANY_ALIKE = 0.05
"""Share of the rows from which those that are alike are named; in the tables of UCI it is about 0.01."""
_STAND_IN = re.compile(
    r"0+|-1|9{4,}|guest.*|anonym.*|unknown.*|unregistered|walk.?in.*|cash.*|na|n\.a\.|no.?customer|default|-+|\?+|x+",
    re.IGNORECASE,
)
"""Customer ids that usually stand for customers who are not known."""


class Step(msgspec.Struct, frozen=True):
    """What one rule did: rows before and after it, and how many of the rows after it it changed."""

    name: str
    rule: str
    rows_in: int
    rows_out: int
    changed: int = 0

    @property
    def removed(self) -> int:
        """Number of rows that the rule left out."""
        return self.rows_in - self.rows_out

    def __add__(self, other: "Step") -> "Step":
        """The same rule over the rows of both."""
        return Step(
            self.name,
            self.rule,
            self.rows_in + other.rows_in,
            self.rows_out + other.rows_out,
            self.changed + other.changed,
        )


class Ledger(msgspec.Struct, frozen=True):
    """The steps of a cleaning in order, and what is left.

    ``assumptions``: everything that reading the table assumed. Purchases are lines with a quantity above 0,
    which the evaluation protocol counts; returns stay in the log, because histories subtract them. ``repeated_lines``:
    lines that occur again within their invoice with the same stock code, quantity and price (or line id); histories
    count them once.
    """

    dialect: str
    timezone: str
    assumptions: tuple[Assumption, ...]
    steps: list[Step]
    purchase_lines: int
    purchase_invoices: int
    customers: int
    items: int
    return_lines: int
    return_invoices: int
    repeated_lines: int

    @property
    def strictest(self) -> Step:
        """The step that left out most rows, the first of equal ones."""
        return max(self.steps, key=lambda step: step.removed)

    @property
    def reading(self) -> Reading:
        """How the table was read."""
        return Reading(self.dialect, self.timezone, self.assumptions)

    def lines(self) -> list[str]:
        """The ledger as text for people: how the table was read, and a line for each step."""
        width = max(len(step.rule) for step in self.steps)
        return [
            *self.reading.lines(),
            *(
                f"{step.rule:<{width}} {step.rows_in:>12,} → {step.rows_out:>12,}  (−{step.removed:,}"
                + (f", {step.changed:,} changed)" if step.changed else ")")
                for step in self.steps
            ),
            f"purchases: {count(self.purchase_lines, 'line')}, {count(self.purchase_invoices, 'invoice')}, "
            f"{count(self.customers, 'customer')}, {count(self.items, 'item')}",
            f"returns: {count(self.return_lines, 'line')}, {count(self.return_invoices, 'invoice')}; lines that occur "
            f"again in their invoice and count once: {self.repeated_lines:,}",
        ]

    def require_purchases(self) -> None:
        """Make sure that purchases are left, to train on and to evaluate.

        Raises:
            NothingLeft: No purchase is left; the message names the rule that left out most rows.
        """
        if self.purchase_lines:
            return
        step = self.strictest
        why = f"“{step.rule}” left out {step.removed:,} of {count(self.steps[0].rows_in, 'row')}"
        if self.return_lines:
            lines = "the only line that is left is a return"
            why = lines if self.return_lines == 1 else f"all {self.return_lines:,} lines that are left are returns"
        raise NothingLeft(f"No purchase of a known customer is left after cleaning: {why}. Check the table's columns.")


def _sum_descriptions(described: pd.DataFrame) -> pd.DataFrame:
    """Number of lines and newest date of each description of a stock code."""
    key = [columns.STOCK_CODE, columns.DESCRIPTION, "bought"]
    return described.groupby(key, as_index=False).agg({columns.DATE: "max", "lines": "sum"})


class LedgerBuilder:
    """Adds up the ledger of a table that is cleaned in parts; it holds counts by description, no lines.

    All rows of a customer are in one part, so the sums over the parts are those of the whole table.
    """

    def __init__(self, dialect: str, timezone: str = "UTC") -> None:
        """Start with no rows, in a dialect's name; dates that name no zone were read in ``timezone``."""
        self._dialect = dialect
        self._timezone = timezone
        self._assumptions: tuple[Assumption, ...] = ()
        self._steps: list[Step] = []
        self._customers = 0
        self._repeated = 0
        self._invoices = {True: 0, False: 0}  # with purchases, with returns
        self._descriptions = pd.DataFrame()
        self._busiest = pd.Series(dtype="int64")

    def add(self, frame: pd.DataFrame, steps: Sequence[Step], assumptions: Sequence[Assumption]) -> None:
        """Add a part: its cleaned lines, the steps before that, and the assumptions of its table."""
        part = LedgerBuilder(self._dialect, self._timezone)
        part._read(frame, steps, assumptions)
        self.merge(part)

    def merge(self, other: "LedgerBuilder") -> Self:
        """Add the parts that another builder has read, after those of this one; returns this one."""
        self._assumptions = merge_assumptions([*self._assumptions, *other._assumptions])
        both = zip(self._steps, other._steps, strict=True)
        self._steps = [one + another for one, another in both] if self._steps else other._steps
        for purchases, number in other._invoices.items():
            self._invoices[purchases] += number
        self._customers += other._customers
        self._repeated += other._repeated
        busiest = pd.concat([self._busiest, other._busiest])
        self._busiest = busiest.sort_values(ascending=False, kind="stable").head(_BUSIEST)
        described = (
            pd.concat([self._descriptions, other._descriptions]) if len(self._descriptions) else other._descriptions
        )
        self._descriptions = _sum_descriptions(described)
        return self

    def _read(self, frame: pd.DataFrame, steps: Sequence[Step], assumptions: Sequence[Assumption]) -> None:
        self._assumptions, self._steps = tuple(assumptions), [*steps]
        bought = frame[columns.QUANTITY] > 0
        invoice = [columns.CUSTOMER_ID, columns.INVOICE_NO]
        for purchases in self._invoices:
            self._invoices[purchases] += int((~frame.loc[bought == purchases, invoice].duplicated()).sum())
        self._customers += frame.loc[bought, columns.CUSTOMER_ID].nunique()
        visits = frame.loc[bought, invoice].drop_duplicates()[columns.CUSTOMER_ID].value_counts()
        self._busiest = visits.head(_BUSIEST)
        content = [columns.STOCK_CODE, columns.QUANTITY, columns.UNIT_PRICE]
        with_id = frame[columns.LINE_ID].notna()
        self._repeated += int(frame[~with_id].duplicated([*invoice, *content]).sum())
        self._repeated += int(frame[with_id].duplicated([*invoice, columns.LINE_ID]).sum())
        described = frame[[columns.STOCK_CODE, columns.DATE]].assign(
            bought=bought, lines=1, description=frame[columns.DESCRIPTION].fillna("")
        )
        self._descriptions = _sum_descriptions(described)

    def descriptions(self) -> pd.Series:
        """The one description of each stock code, indexed by it: the newest, of equal dates the larger text.

        It is what the stream's item state holds after the same lines (``observe_sale``), where only purchases count;
        an item that was never bought is described by its returns.
        """
        described = self._descriptions[self._descriptions[columns.DESCRIPTION] != ""]
        ordered = described.sort_values(["bought", columns.DATE, columns.DESCRIPTION])
        return ordered.groupby(columns.STOCK_CODE)[columns.DESCRIPTION].last()

    def _stand_in(self) -> list[Assumption]:
        """The assumption about a customer with more invoices than the next hundred, or under a usual stand-in."""
        if self._busiest.empty:
            return []
        customer, invoices = str(self._busiest.index[0]), int(self._busiest.iloc[0])
        others = int(self._busiest.iloc[1:].sum())
        second = int(self._busiest.iloc[1]) if len(self._busiest) > 1 else 0
        stand_ins = [str(each) for each in self._busiest.index if _STAND_IN.fullmatch(str(each))]
        if invoices >= _MIN_INVOICES and (
            (second and invoices > others) or (customer in stand_ins[:1] and invoices > second)
        ):
            than = f"the next {len(self._busiest) - 1} together" if invoices > others else "any other"
            what = f"one customer, {customer!r}, has most invoices, {invoices:,}: more than {than}"
            what += ". It is taken as one person"
        elif stand_ins and len(self._busiest) > 1:
            customer = stand_ins[0]
            what = f"{customer!r} is taken as one person, with {count(int(self._busiest[customer]), 'invoice')}"
        else:
            return []
        cure = (
            f"if it stands for customers who are not known, declare it anonymous: NEXTBASKET_ANONYMOUS_IDS={customer}"
        )
        return [Assumption(columns.CUSTOMER_ID, what, cure)]

    def _repetitions(self, lines: int) -> list[Assumption]:
        """The assumptions about rows that are alike, where they are many: a till may write a row for each unit."""
        cure = "if each is a unit that was sold, number the rows in a column line_id"
        duplicates = next(step for step in self._steps if step.name == "duplicate")
        found = []
        if duplicates.removed > max(1, duplicates.rows_in * _MANY_ALIKE):
            found.append(
                Assumption("rows", "of rows that are alike in every column one counts", cure, rows=duplicates.removed)
            )
        if self._repeated > max(1, lines * _MANY_ALIKE):
            what = "of lines of an invoice with the same item, quantity and price one counts"
            found.append(Assumption("rows", what, cure, rows=self._repeated))
        return found

    def build(self) -> Ledger:
        """The ledger of all parts added so far."""
        counts = self._descriptions
        lines = counts.groupby("bought")["lines"].sum().reindex([True, False], fill_value=0)
        chosen = counts[columns.STOCK_CODE].map(self.descriptions()).astype("str").fillna("")
        renamed = int(counts.loc[counts[columns.DESCRIPTION] != chosen, "lines"].sum())
        left = int(lines.sum())
        return Ledger(
            dialect=self._dialect,
            timezone=self._timezone,
            assumptions=(*self._assumptions, *self._repetitions(left), *self._stand_in()),
            steps=[
                *self._steps,
                Step("cancellation", "cancelled and taken back: separated as returns", left, left, int(lines[False])),
                Step("description", "one description per stock code, the newest", left, left, renamed),
            ],
            purchase_lines=int(lines[True]),
            purchase_invoices=self._invoices[True],
            customers=self._customers,
            items=counts.loc[counts["bought"], columns.STOCK_CODE].nunique(),
            return_lines=int(lines[False]),
            return_invoices=self._invoices[False],
            repeated_lines=self._repeated,
        )
