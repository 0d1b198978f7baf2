"""Data quality: missing, duplicate, impossible and unusual values in the rows as published, and the cleaning ledger."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from state.events.dialect import Dialect
from state.events.text import clean_text
from state.wording import count
from training.data import columns
from training.data.assumption import HEADING, HEADINGS
from training.data.cleaning.ledger import Ledger
from training.data.distinct import map_distinct, where_distinct
from training.data.tables.invoice_table import InvoiceTable
from training.eda.formatting import clipped, listed, money, share
from training.report import STRIP, WIDE, Figure, Section, Table, draw
from training.report.style import bars

Rows = npt.NDArray[np.bool_]

RARE = 0.01
"""A stock code is unusual where the rows of its pattern are fewer than this share."""
SHOWN = 10
NEGATIVE = "quantity below 0"
UNUSUAL_CODE = "unusual stock code"
OTHER_DESCRIPTION = "description that is not its code's usual one"
NO_CUSTOMER = "no customer"
DUPLICATE = "exact duplicate of a row before"

_UNDECODABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd]")
"""Control characters, and the replacement character."""


_CHECKS_OF = {
    columns.INVOICE_NO: ["no invoice number"],
    columns.STOCK_CODE: ["no stock code", UNUSUAL_CODE, OTHER_DESCRIPTION],
    columns.QUANTITY: ["quantity is no number", "quantity is 0"],
    columns.UNIT_PRICE: ["price is no number", "price is 0", "price below 0"],
}
"""The checks of a column that a file may lack."""


class Check(NamedTuple):
    """A check, and whether each row fails it."""

    name: str
    rows: Rows


def checks(table: InvoiceTable, dialect: Dialect) -> list[Check]:
    """All checks of the rows as published, but of columns that the file has; a row may fail several.

    - no customer, invoice number, stock code, description, date; quantity or price that is no number;
    - quantity below 0, and of these the ones in no cancelled invoice where the dialect has such; quantity 0;
    - price 0 and below 0;
    - exact duplicates: rows equal in every column to an earlier one;
    - unusual stock codes: no product by the dialect, or of a pattern (``9`` for digits, ``A`` for letters) that fewer
      than 1 in 100 rows share;
    - descriptions other than the most frequent one of their stock code;
    - text with characters that could not be decoded, or that was decoded from another encoding (``Ã©`` for ``é``).
    """
    frame = table.frame
    quantity, price = frame[columns.QUANTITY], frame[columns.UNIT_PRICE]
    missing = {
        NO_CUSTOMER: columns.CUSTOMER_ID,
        "no invoice number": columns.INVOICE_NO,
        "no stock code": columns.STOCK_CODE,
        "no description": columns.DESCRIPTION,
        "no date": columns.INVOICE_DATE,
        "quantity is no number": columns.QUANTITY,
        "price is no number": columns.UNIT_PRICE,
    }
    blank = {name: _where(frame[column], lambda text: not text.strip()) for name, column in missing.items()}
    codes = _codes(frame, dialect)
    texts = (columns.DESCRIPTION, columns.COUNTRY)
    undecodable = np.logical_or.reduce([_where(frame[name], _is_undecodable) for name in texts])
    misread = np.logical_or.reduce([_where(frame[name], _is_misread) for name in texts])
    negative = (quantity < 0).to_numpy()
    cancelled = _where(frame[columns.INVOICE_NO], lambda text: dialect.is_return(text.strip()))
    found = [
        *(Check(name, (frame[missing[name]].isna().to_numpy() | rows)) for name, rows in blank.items()),
        Check(DUPLICATE, frame.duplicated().to_numpy()),
        Check(NEGATIVE, negative),
        Check("quantity is 0", (quantity == 0).to_numpy()),
        Check("price is 0", (price == 0).to_numpy()),
        Check("price below 0", (price < 0).to_numpy()),
        Check(UNUSUAL_CODE, unusual_codes(codes, dialect)),
        Check(OTHER_DESCRIPTION, _varying(codes, frame[columns.DESCRIPTION])),
        Check("characters that could not be decoded", undecodable),
        Check("text decoded from another encoding", misread & ~undecodable),
    ]
    if cancelled.any():
        index = next(index for index, check in enumerate(found) if check.name == NEGATIVE)
        found.insert(index + 1, Check("quantity below 0, invoice not cancelled", negative & ~cancelled))
    lacking = {name for column in table.filled for name in _CHECKS_OF[column]}
    return [check for check in found if check.name not in lacking]


def _codes(frame: pd.DataFrame, dialect: Dialect) -> pd.Series:
    return map_distinct(frame[columns.STOCK_CODE], lambda text: dialect.stock_code(text.strip()) or None)


def _where(values: pd.Series, holds: Callable[[str], bool]) -> Rows:
    """Rows whose text meets a condition; numbers and missing values are no text."""
    if not (pd.api.types.is_string_dtype(values.dtype) or values.dtype == object):
        return np.zeros(len(values), dtype=bool)
    return where_distinct(values, holds).to_numpy()


def _is_undecodable(text: str) -> bool:
    return _UNDECODABLE.search(text) is not None


def _is_misread(text: str) -> bool:
    return not text.isascii() and clean_text(text) != " ".join(text.split())


def code_pattern(code: str) -> str:
    """The pattern of a code: ``9`` for a run of digits, ``A`` for a run of letters, all else as it is."""
    return re.sub(r"[^\W\d_]+", "A", re.sub(r"\d+", "9", code))


def unusual_codes(codes: pd.Series, dialect: Dialect) -> Rows:
    """Rows whose stock code is no product's, or of a rare pattern; a missing code is not unusual.

    Args:
        codes: Stock codes as the dialect writes them.
        dialect: Decides which codes are products.
    """
    uses = codes.value_counts()
    patterns = pd.Series({code: code_pattern(code) for code in uses.index}, dtype=object)
    totals = uses.groupby(patterns.reindex(uses.index)).sum()
    rare = patterns.map(totals) < RARE * uses.sum()
    unusual = {code for code in uses.index if rare[code] or not dialect.is_product(code)}
    return codes.isin(unusual).to_numpy()


def _varying(codes: pd.Series, descriptions: pd.Series) -> Rows:
    """Rows with a description other than the most frequent one of their code, ties to the first by the alphabet."""
    pairs = pd.DataFrame({"code": codes, "text": descriptions.str.strip()})
    usual = _usual(pairs.dropna())
    return (pairs["text"].notna() & pairs["code"].notna() & (pairs["text"] != pairs["code"].map(usual))).to_numpy()


def _usual(pairs: pd.DataFrame) -> pd.Series:
    uses = pairs.value_counts().rename("uses").reset_index()
    uses = uses.sort_values(["code", "uses", "text"], ascending=[True, False, True])
    return uses.drop_duplicates("code").set_index("code")["text"]


def descriptions_by_code(table: InvoiceTable, dialect: Dialect) -> pd.DataFrame:
    """Stock codes with several descriptions, most first: how many ``texts``, and ``descriptions``, most used first."""
    text = table.frame[columns.DESCRIPTION].str.strip()
    pairs = pd.DataFrame({"code": _codes(table.frame, dialect), "text": text.where(text != "")}).dropna()
    uses = pairs.value_counts().rename("uses").reset_index()
    uses = uses.sort_values(["code", "uses", "text"], ascending=[True, False, True])
    found = uses.groupby("code", sort=True)["text"].agg(["size", list])
    found.columns = pd.Index(["texts", "descriptions"])
    return found[found["texts"] > 1].sort_values("texts", ascending=False, kind="stable")


def unusual_code_table(table: InvoiceTable, dialect: Dialect) -> pd.DataFrame:
    """Unusual stock codes, most rows first: ``rows``, ``amount`` (quantity × price) and a ``description``."""
    frame = table.frame
    codes = _codes(frame, dialect)
    unusual = unusual_codes(codes, dialect)
    rows = pd.DataFrame(
        {
            "code": codes[unusual],
            "amount": (frame[columns.QUANTITY] * frame[columns.UNIT_PRICE])[unusual],
            "text": frame[columns.DESCRIPTION][unusual].str.strip(),
        }
    )
    by_code = rows.groupby("code", sort=True).agg(rows=("code", "size"), amount=("amount", "sum"))
    by_code["description"] = _usual(rows[["code", "text"]].dropna()).reindex(by_code.index)
    return by_code.sort_values("rows", ascending=False, kind="stable")


def describe_checks(found: list[Check], rows: int) -> str:
    """Describe the checks."""
    hit = sorted(((int(check.rows.sum()), check.name) for check in found), reverse=True)
    hit = [(number, name) for number, name in hit if number]
    if not hit:
        return f"None of the {len(found)} checks finds anything in {count(rows, 'row')}."
    clean = rows - int(np.logical_or.reduce([check.rows for check in found]).sum())
    most = listed(f"{name} ({number:,}, {share(number, rows)})" for number, name in hit[:3])
    return f"Of {count(rows, 'row')} {clean:,} ({share(clean, rows)}) pass every check; most frequent: {most}."


def describe_stock_codes(unusual: pd.DataFrame, varying: pd.DataFrame, codes: int) -> str:
    """Describe unusual codes and varying descriptions; ``codes`` is the number of stock codes."""
    sentences = []
    if len(unusual):
        first = unusual.iloc[0]
        sentences.append(
            f"{count(len(unusual), 'stock code')} of {codes:,} {'is' if len(unusual) == 1 else 'are'} unusual, on "
            f"{count(unusual['rows'].sum(), 'row')}; the most frequent is {unusual.index[0]} "
            f"({count(first['rows'], 'row')})."
        )
    else:
        sentences.append("No stock code is unusual.")
    if len(varying):
        sentences.append(
            f"{count(len(varying), 'stock code')} of {codes:,} ({share(len(varying), codes)}) "
            f"{'has' if len(varying) == 1 else 'have'} several descriptions, {varying.index[0]} most: "
            f"{varying['texts'].iloc[0]}."
        )
    else:
        sentences.append("No stock code has several descriptions.")
    return " ".join(sentences)


def quality_section(table: InvoiceTable, dialect: Dialect) -> Section:
    """The section on the data quality of the rows as published."""
    rows = len(table.frame)
    found = checks(table, dialect)
    numbers = [int(check.rows.sum()) for check in found]
    shown = sorted(((number, check.name) for number, check in zip(numbers, found, strict=True) if number), reverse=True)
    sentence = describe_checks(found, rows)
    blocks: list[Figure | Table] = []
    if shown:
        picture = draw(
            "Rows that fail a check",
            lambda figure: bars(
                figure,
                [name for _, name in shown],
                [number for number, _ in shown],
                labels=[f"{number:,} ({share(number, rows)})" for number, _ in shown],
            ),
            size=_size(len(shown)),
        )
        blocks.append(Figure("data-quality", picture, "Bar chart: rows that each check finds.", sentence))
    cells = [[check.name, f"{number:,}", share(number, rows)] for check, number in zip(found, numbers, strict=True)]
    blocks.append(Table("Checks of the rows as published; a row may fail several", ["check", "rows", "share"], cells))
    unusual, varying = unusual_code_table(table, dialect), descriptions_by_code(table, dialect)
    coded = columns.STOCK_CODE not in table.filled
    if coded and len(unusual):
        caption = f"Unusual stock codes{_first(len(unusual))}; amount is quantity × price"
        cells = [
            [clipped(str(code)), clipped(_text(row["description"]), 50), f"{row['rows']:,}", money(row["amount"])]
            for code, row in unusual.head(SHOWN).iterrows()
        ]
        blocks.append(Table(caption, ["stock code", "description", "rows", "amount"], cells, texts=2))
    if coded and len(varying):
        caption = f"Stock codes with several descriptions{_first(len(varying))}, most used first"
        cells = [
            [clipped(str(code)), "; ".join(clipped(text, 40) for text in row["descriptions"][:5]), str(row["texts"])]
            for code, row in varying.head(SHOWN).iterrows()
        ]
        blocks.append(Table(caption, ["stock code", "descriptions", "how many"], cells, texts=2))
    codes = int(_codes(table.frame, dialect).nunique())
    text = (
        describe_stock_codes(unusual, varying, codes) if coded else "There are no stock codes: descriptions name items."
    )
    return Section("Data quality", text if shown else f"{sentence} {text}", blocks)


def _first(number: int) -> str:
    return f", the first {SHOWN} of {number:,}" if number > SHOWN else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else "–"


def _size(number: int) -> tuple[float, float]:
    return STRIP if number <= 5 else WIDE


def describe_ledger(ledger: Ledger) -> str:
    """Describe the cleaning."""
    before, after = ledger.steps[0].rows_in, ledger.steps[-1].rows_out
    most = max(ledger.steps, key=lambda step: step.rows_in - step.rows_out)
    removed = most.rows_in - most.rows_out
    if not removed:
        return f"Cleaning keeps all {count(before, 'row')}."
    return (
        f"Cleaning keeps {after:,} of {count(before, 'row')} ({share(after, before)}); the rule “{most.rule}” leaves "
        f"out most, {removed:,}. What is left are {count(ledger.purchase_lines, 'purchase line')} of "
        f"{count(ledger.customers, 'customer')} and {count(ledger.return_lines, 'line')} taken back."
    )


def reading_section(ledger: Ledger) -> Section:
    """The section on what the reader of the table assumed."""
    text = f"Dialect {ledger.dialect}; dates without a zone are in {ledger.timezone}."
    if not ledger.assumptions:
        return Section(HEADING, f"{text} Nothing else was assumed.")
    cells = [assumption.cells() for assumption in ledger.assumptions]
    return Section(HEADING, text, [Table("What the columns and cells were taken for", HEADINGS, cells, texts=3)])


def cleaning_section(ledger: Ledger) -> Section:
    """The section on the cleaning ledger."""
    steps = [(step.rule, step.rows_in - step.rows_out) for step in ledger.steps if step.rows_in > step.rows_out]
    sentence = describe_ledger(ledger)
    blocks: list[Figure | Table] = []
    if steps:
        picture = draw(
            "Rows that each rule leaves out",
            lambda figure: bars(
                figure,
                [rule for rule, _ in steps],
                [number for _, number in steps],
                labels=[f"{number:,}" for _, number in steps],
            ),
            size=_size(len(steps)),
        )
        blocks.append(Figure("cleaning", picture, "Bar chart: rows that each cleaning rule leaves out.", sentence))
    cells = [
        [step.rule, f"{step.rows_in:,}", f"{step.rows_in - step.rows_out:,}", f"{step.changed:,}", f"{step.rows_out:,}"]
        for step in ledger.steps
    ]
    headings = ["rule", "rows before", "left out", "changed", "rows after"]
    blocks.append(Table(f"Ledger, in order (dialect {ledger.dialect})", headings, cells))
    return Section("Cleaning", "" if steps else sentence, blocks)
