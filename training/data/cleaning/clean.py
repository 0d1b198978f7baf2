"""Cleaning: named steps from a raw table to the lines that count, with a ledger of what each removed or changed.

The rules are the stream's own: what the wire format refuses, and the dialect leaves out or takes for a return, is
refused, left out and taken here alike, and text is mended by the same function; a test feeds the same rows to both. One
step more: exact duplicates of a row are dropped, as the evaluation protocol wants; a stream need not, since within an
invoice the same line counts once.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from state.events.dates import DAY
from state.events.dialect import NEGATIVE_PRICE, NOT_A_PRODUCT, ZERO_PRICE, ZERO_QUANTITY, Dialect, dialect_named
from state.events.invoice import THOUSAND
from state.events.text import clean_text
from state.settings import Settings
from training.data import columns
from training.data.cleaning.ledger import Ledger, LedgerBuilder, Step
from training.data.distinct import map_distinct
from training.data.tables.case_study import Attributes
from training.data.tables.invoice_table import InvoiceTable

logger = logging.getLogger(__name__)

ITEM = "item"
"""Column of the cleaned lines: the one description of the line's stock code."""

_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")


@dataclass(frozen=True)
class CleanedLines:
    """The lines that count, in the order of the table, and the account of what was left out.

    ``frame`` has ``invoice_no``, ``customer_id``, ``stock_code``, ``description``, ``country``, ``line_id``, ``item``
    (text; all but the first three may be missing), ``quantity`` (int64, thousandths, negative for a return),
    ``unit_price`` (float64, above 0) and ``date`` (int64, seconds since 1970). ``description`` is that of the line,
    which is all that was known at its date; ``item`` is the one description of its stock code
    (``LedgerBuilder.descriptions``).
    ``ledger`` is of this table and of the parts of it cleaned before, ``attributes`` what the table says of customers
    and items.
    """

    frame: pd.DataFrame
    ledger: Ledger
    attributes: Attributes | None = None

    @property
    def purchases(self) -> pd.DataFrame:
        """The lines that the evaluation protocol counts."""
        return self.frame[self.frame[columns.QUANTITY] > 0]


def dialect_of(table: InvoiceTable, settings: Settings) -> Dialect:
    """The dialect of a table: what the settings say, and for a UCI table where they say nothing, UCI's."""
    if table.uci and "dialect" not in settings.model_fields_set:
        return dialect_named("uci")
    return dialect_named(settings.dialect)


def clean(
    table: InvoiceTable, settings: Settings, *, clock: int | None = None, account: LedgerBuilder | None = None
) -> CleanedLines:
    """Leave only lines that count: product sales and returns of known customers.

    Args:
        table: The raw table, or a part of one that holds all rows of its customers.
        settings: Bounds and dialect.
        clock: Seconds since 1970; dates further ahead of it than the settings allow are refused. None: no date is.
        account: Of the parts cleaned before, to which this one is added.
    """
    dialect = dialect_of(table, settings)
    account = account or LedgerBuilder(dialect.name)
    rows = _typed(table.frame, settings, dialect)
    keep = np.ones(len(rows), dtype=bool)
    steps = [Step("parsed", "types parsed: codes as text, numbers, dates", len(rows), len(rows), table.retyped)]
    for name, rule, passes, changes in _rules(table.frame, rows, settings, dialect, clock):
        before = int(keep.sum())
        keep &= passes.to_numpy(dtype=bool, na_value=False)
        steps.append(Step(name, rule, before, int(keep.sum()), _changed(table.frame, rows, changes, keep)))
    frame = rows[keep].reset_index(drop=True)
    frame = frame.astype({columns.QUANTITY: "int64", columns.DATE: "int64"})
    account.add(frame, steps, table.notes)
    frame[ITEM] = frame[columns.STOCK_CODE].map(account.descriptions()).astype("str")
    logger.info("cleaned %d rows to %d lines", len(rows), len(frame))
    return CleanedLines(frame, account.ledger(), table.attributes)


def _typed(raw: pd.DataFrame, settings: Settings, dialect: Dialect) -> pd.DataFrame:
    """The rows as the stream would hold them, with missing values where it refuses them."""
    rows = pd.DataFrame(index=raw.index)
    rows[columns.INVOICE_NO] = map_distinct_texts(raw[columns.INVOICE_NO], lambda text: _code(text, settings))
    rows[columns.CUSTOMER_ID] = customer_ids(raw[columns.CUSTOMER_ID])
    rows[columns.STOCK_CODE] = map_distinct_texts(
        raw[columns.STOCK_CODE], lambda text: _stock_code(text, settings, dialect)
    )
    rows[columns.DESCRIPTION] = map_distinct_texts(raw[columns.DESCRIPTION], lambda text: clean_text(text) or None)
    rows[columns.COUNTRY] = map_distinct_texts(
        raw[columns.COUNTRY], lambda text: clean_text(_code(text, settings) or "") or None
    )
    rows[columns.LINE_ID] = map_distinct_texts(raw[columns.LINE_ID], lambda text: _code(text, settings))
    quantity = raw[columns.QUANTITY]
    taken = (quantity.abs() <= settings.max_number) & (quantity.round(3) == quantity)
    thousandths = (quantity.where(taken) * THOUSAND).round().astype("Int64")
    returned = map_distinct_texts(rows[columns.INVOICE_NO], lambda text: dialect.is_return(text) or None).notna()
    rows[columns.QUANTITY] = thousandths.mask(returned, -thousandths.abs())
    price = raw[columns.UNIT_PRICE]
    rows[columns.UNIT_PRICE] = price.where(price.abs() <= settings.max_number)
    moments = raw[columns.INVOICE_DATE].dt.tz_localize(None).to_numpy(dtype="datetime64[s]")
    rows[columns.DATE] = pd.Series(moments.astype("int64"), index=raw.index, dtype="Int64").mask(np.isnat(moments))
    return rows


def _rules(
    raw: pd.DataFrame, rows: pd.DataFrame, settings: Settings, dialect: Dialect, clock: int | None
) -> Iterator[tuple[str, str, pd.Series, tuple[str, ...]]]:
    """Name, words, the rows that pass and the columns that are rewritten, of each rule in its order."""
    code, quantity, price, date = (
        rows[name] for name in (columns.STOCK_CODE, columns.QUANTITY, columns.UNIT_PRICE, columns.DATE)
    )
    latest = None if clock is None else clock + settings.max_days_ahead * DAY
    everything = pd.Series(True, index=rows.index)
    codes = (columns.INVOICE_NO, columns.STOCK_CODE)
    yield "no_code", "invoice number and stock code given, not too long", rows[[*codes]].notna().all(axis=1), codes
    yield "no_date", "dated, and not ahead of the clock", date.notna() if latest is None else date <= latest, ()
    yield "no_number", "quantity and price are numbers within bounds", quantity.notna() & price.notna(), ()
    short = ~_longer(raw[columns.DESCRIPTION], settings.max_description_chars)
    short &= ~_longer(rows[columns.CUSTOMER_ID], settings.max_code_chars)
    short &= raw[columns.LINE_ID].isna() | rows[columns.LINE_ID].notna()
    yield "too_long", "customer, line id and description not too long", short, ()
    texts = (columns.DESCRIPTION, columns.COUNTRY)
    yield "encoding", "encoding, control characters and spaces of text mended", everything, texts
    given = rows[columns.CUSTOMER_ID].notna()
    yield "anonymous", "customer given", given, (columns.CUSTOMER_ID,)
    yield "duplicate", "no exact duplicate of a row before", ~raw.duplicated(), ()
    product = map_distinct_texts(code, lambda text: dialect.is_product(text) or None).notna()
    yield NOT_A_PRODUCT, f"stock code is a product's (dialect {dialect.name})", product, ()
    yield ZERO_QUANTITY, "quantity is not 0", quantity != 0, ()
    yield ZERO_PRICE, "price is not 0", price != 0, ()
    yield NEGATIVE_PRICE, "price is above 0", price > 0, ()


def _changed(raw: pd.DataFrame, rows: pd.DataFrame, names: Iterable[str], keep: np.ndarray) -> int:
    """How many of the rows that are kept so far are written otherwise than in the table, in any of some columns."""
    differs = np.zeros(len(rows), dtype=bool)
    for name in names:
        differs |= (raw[name].fillna("") != rows[name].fillna("")).to_numpy(dtype=bool)
    return int((differs & keep).sum())


def map_distinct_texts(texts: pd.Series, function: Callable[[str], object]) -> pd.Series:
    """Apply a rule for one text to a column of them, once for each distinct text; missing stays missing."""
    return map_distinct(texts, function).astype("str")


def _code(text: str, settings: Settings) -> str | None:
    text = text.strip()
    return text if 0 < len(text) <= settings.max_code_chars else None


def _stock_code(text: str, settings: Settings, dialect: Dialect) -> str | None:
    code = _code(text, settings)
    return None if code is None else dialect.stock_code(code)


def _customer(text: str) -> str | None:
    """``12680.0`` and ``12680`` are one customer."""
    text = text.strip()
    match = _WHOLE_NUMBER.fullmatch(text)
    return (match[1] if match else text) or None


def customer_ids(written: pd.Series) -> pd.Series:
    """Customers as they are kept, of a column of them as written."""
    return map_distinct_texts(written, _customer)


def _longer(texts: pd.Series, limit: int) -> pd.Series:
    return map_distinct_texts(texts, lambda text: text if len(text) > limit else None).notna()
