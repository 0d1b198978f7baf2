"""Cleaning: named rules from typed rows to the lines that count, with a ledger of what each removed or changed.

The rules are those of the stream: a row that the wire format refuses is refused here, a line that the dialect leaves
out is left out, a return is a return in both, and text is cleaned by the same function. A test feeds the same rows to
both. One rule more: exact duplicates of a row are dropped, as the evaluation protocol demands. The stream need not,
since a history counts a line once an invoice.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from state.events.control_characters import has_control
from state.events.dates import DAY
from state.events.dialect import NEGATIVE_PRICE, NOT_A_PRODUCT, ZERO_PRICE, ZERO_QUANTITY, Dialect
from state.events.invoice import THOUSAND
from state.events.shop_dialect import ShopDialect, make_dialect, shop_dialect
from state.events.text import clean_text
from state.settings import Settings
from training.data import columns
from training.data.assumption import Assumption
from training.data.cleaning.ledger import Ledger, LedgerBuilder, Step
from training.data.distinct import map_distinct_texts, where_distinct
from training.data.tables.case_study import AttributeTables
from training.data.tables.invoice_table import InvoiceTable

logger = logging.getLogger(__name__)

ITEM = "item"
"""Column of the cleaned lines: the one description of the line's stock code."""

_SHOWN = 5
"""Patterns of unsellable codes that the ledger names."""

_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")


@dataclass(frozen=True)
class CleanedLines:
    """The lines that count, and the ledger of the others.

    Attributes:
        frame: The lines in the order of the table. Text: ``invoice_no``, ``customer_id``, ``stock_code``, and, where
            not missing, ``description``, ``country``, ``line_id``, ``item``. Numbers: ``quantity`` (int64, thousandths,
            negative for a return), ``unit_price`` (float64, above 0), ``date`` (int64, seconds since 1970).
            ``description`` is that of the line, known at its date; ``item`` is the one description of its stock code
            (``LedgerBuilder.descriptions``).
        ledger: Of this table and of the parts of it that were cleaned before.
        attributes: Attributes of customers and items, where the table has such files.
    """

    frame: pd.DataFrame
    ledger: Ledger
    attributes: AttributeTables | None = None

    @property
    def purchases(self) -> pd.DataFrame:
        """The lines that the evaluation protocol counts."""
        return self.frame[self.frame[columns.QUANTITY] > 0]


class _Rule(NamedTuple):
    """A cleaning rule: its name and words in the ledger, the rows that pass, and the columns that it rewrites."""

    name: str
    words: str
    passes: pd.Series
    rewrites: tuple[str, ...] = ()


def shop_dialect_of(table: InvoiceTable, settings: Settings) -> ShopDialect:
    """The dialect of the settings, but UCI's for a UCI table where none is set."""
    detected = table.uci and "dialect" not in settings.model_fields_set
    return shop_dialect(settings, "uci" if detected else None)


def dialect_of(table: InvoiceTable, settings: Settings) -> Dialect:
    """The functions of the dialect of a table."""
    return make_dialect(shop_dialect_of(table, settings))


def dialect_assumptions(table: InvoiceTable, settings: Settings) -> tuple[Assumption, ...]:
    """An assumption where the dialect that a table shows is not the one that is set; none where it is."""
    if "dialect" not in settings.model_fields_set and table.uci:
        what = (
            "the columns and stock codes are UCI Online Retail's and NEXTBASKET_DIALECT is not set, so the dialect is "
            "uci; a worker needs NEXTBASKET_DIALECT=uci to read the same"
        )
        return (Assumption("dialect", what, "set NEXTBASKET_DIALECT=plain, for all processes of the shop"),)
    if table.uci and settings.dialect != "uci":
        what = (
            f"the table is UCI Online Retail's but NEXTBASKET_DIALECT is {settings.dialect}, so postage, fees and "
            "other codes that are no products count as products"
        )
        return (Assumption("dialect", what, "set NEXTBASKET_DIALECT=uci"),)
    if not table.uci and settings.dialect == "uci":
        what = (
            "NEXTBASKET_DIALECT is uci but neither columns nor rows show that the table is UCI Online Retail's; stock "
            "codes that do not begin with five digits are left out"
        )
        return (Assumption("dialect", what, "set NEXTBASKET_DIALECT=plain"),)
    return ()


def clean(
    table: InvoiceTable, settings: Settings, *, clock: int | None = None, builder: LedgerBuilder | None = None
) -> CleanedLines:
    """Leave only lines that count: product sales and returns of known customers.

    Args:
        table: An invoice table, or a part of one that holds all rows of its customers.
        settings: Bounds and dialect.
        clock: Seconds since 1970; dates further ahead of it than the settings allow are refused. None: no date is.
        builder: Of the parts cleaned before; this part is added to it.
    """
    dialect = dialect_of(table, settings)
    builder = builder or LedgerBuilder(dialect.name, table.timezone)
    rows = _typed_rows(table.frame, settings, dialect)
    remaining = np.ones(len(rows), dtype=bool)
    steps = [Step("parsed", "types parsed: codes as text, numbers, dates", len(rows), len(rows), table.retyped)]
    for rule in _rules(table.frame, rows, settings, dialect, clock):
        rows_in = int(remaining.sum())
        remaining &= rule.passes.to_numpy(dtype=bool, na_value=False)
        changed = _count_changed(table.frame, rows, rule.rewrites, remaining)
        steps.append(Step(rule.name, rule.words, rows_in, int(remaining.sum()), changed))
    frame = rows[remaining].reset_index(drop=True)
    frame = frame.astype({columns.QUANTITY: "int64", columns.DATE: "int64"})
    builder.add(frame, steps, (*table.assumptions, *dialect_assumptions(table, settings)))
    frame[ITEM] = frame[columns.STOCK_CODE].map(builder.descriptions()).astype("str")
    logger.info("cleaned %d rows to %d lines", len(rows), len(frame))
    return CleanedLines(frame, builder.build(), table.attributes)


def _typed_rows(raw: pd.DataFrame, settings: Settings, dialect: Dialect) -> pd.DataFrame:
    """The rows as the stream would hold them; values that it refuses are missing."""
    rows = pd.DataFrame(index=raw.index)
    rows[columns.INVOICE_NO] = map_distinct_texts(raw[columns.INVOICE_NO], lambda text: _code(text, settings))
    anonymous = settings.anonymous_customers
    customers = normalise_customer_ids(raw[columns.CUSTOMER_ID])
    rows[columns.CUSTOMER_ID] = customers.mask(customers.isin(anonymous)) if anonymous else customers
    rows[columns.STOCK_CODE] = map_distinct_texts(
        raw[columns.STOCK_CODE], lambda text: _stock_code(text, settings, dialect)
    )
    rows[columns.DESCRIPTION] = map_distinct_texts(raw[columns.DESCRIPTION], lambda text: clean_text(text) or None)
    rows[columns.COUNTRY] = map_distinct_texts(raw[columns.COUNTRY], lambda text: _country(text, settings))
    rows[columns.LINE_ID] = map_distinct_texts(raw[columns.LINE_ID], lambda text: _code(text, settings))
    quantity = raw[columns.QUANTITY]
    valid = (quantity.abs() <= settings.max_number) & (quantity.round(3) == quantity)
    thousandths = (quantity.where(valid) * THOUSAND).round().astype("Int64")
    returned = where_distinct(rows[columns.INVOICE_NO], dialect.is_return)
    rows[columns.QUANTITY] = thousandths.mask(returned, -thousandths.abs())
    price = raw[columns.UNIT_PRICE]
    rows[columns.UNIT_PRICE] = price.where(price.abs() <= settings.max_number)
    dates = raw[columns.INVOICE_DATE].dt.tz_localize(None).to_numpy(dtype="datetime64[s]")
    rows[columns.DATE] = pd.Series(dates.astype("int64"), index=raw.index, dtype="Int64").mask(np.isnat(dates))
    return rows


def _rules(
    raw: pd.DataFrame, rows: pd.DataFrame, settings: Settings, dialect: Dialect, clock: int | None
) -> Iterator[_Rule]:
    """The rules in their order; each judges all rows."""
    code, quantity, price, date = (
        rows[name] for name in (columns.STOCK_CODE, columns.QUANTITY, columns.UNIT_PRICE, columns.DATE)
    )
    latest = None if clock is None else clock + settings.max_days_ahead * DAY
    codes = (columns.INVOICE_NO, columns.STOCK_CODE)
    yield _Rule(
        "no_code",
        "invoice number and stock code given, not too long, without control characters",
        rows[[*codes]].notna().all(axis=1),
        codes,
    )
    yield _Rule("no_date", "dated, and not ahead of the clock", date.notna() if latest is None else date <= latest)
    yield _Rule("no_number", "quantity and price are numbers within bounds", quantity.notna() & price.notna())
    short = ~_longer(raw[columns.DESCRIPTION], settings.max_description_chars)
    short &= ~_longer(rows[columns.CUSTOMER_ID], settings.max_code_chars)
    short &= ~where_distinct(rows[columns.CUSTOMER_ID], has_control)
    short &= raw[columns.LINE_ID].isna() | rows[columns.LINE_ID].notna()
    yield _Rule("too_long", "customer, line id and description not too long, ids without control characters", short)
    every_row = pd.Series(True, index=rows.index)
    texts = (columns.DESCRIPTION, columns.COUNTRY)
    yield _Rule("encoding", "encoding, control characters and spaces of text repaired", every_row, texts)
    yield _Rule("anonymous", "customer given", rows[columns.CUSTOMER_ID].notna(), (columns.CUSTOMER_ID,))
    yield _Rule("duplicate", "no exact duplicate of a row before", ~raw.duplicated())
    product = where_distinct(code, dialect.is_product)
    unsellable = f", without {_listed(settings.unsellable_patterns)}" if settings.unsellable_patterns else ""
    yield _Rule(NOT_A_PRODUCT, f"stock code is a product's (dialect {dialect.name}{unsellable})", product)
    yield _Rule(ZERO_QUANTITY, "quantity is not 0", quantity != 0)
    yield _Rule(ZERO_PRICE, "price is not 0", price != 0)
    yield _Rule(NEGATIVE_PRICE, "price is above 0", price > 0)


def _listed(patterns: tuple[str, ...]) -> str:
    shown = ", ".join(patterns[:_SHOWN])
    return shown if len(patterns) <= _SHOWN else f"{shown} and {len(patterns) - _SHOWN} more"


def _count_changed(raw: pd.DataFrame, rows: pd.DataFrame, names: Iterable[str], among: NDArray[np.bool_]) -> int:
    """Number of rows among some that differ from the table in any of some columns."""
    differs = np.zeros(len(rows), dtype=bool)
    for name in names:
        differs |= (raw[name].fillna("") != rows[name].fillna("")).to_numpy(dtype=bool)
    return int((differs & among).sum())


def _code(text: str, settings: Settings) -> str | None:
    text = text.strip()
    return text if 0 < len(text) <= settings.max_code_chars and not has_control(text) else None


def _country(text: str, settings: Settings) -> str | None:
    return (clean_text(text) or None) if len(text.strip()) <= settings.max_code_chars else None


def _stock_code(text: str, settings: Settings, dialect: Dialect) -> str | None:
    code = _code(text, settings)
    return None if code is None else dialect.stock_code(code)


def normalise_customer_ids(column: pd.Series) -> pd.Series:
    """Customer ids without spaces around them, and whole numbers without a decimal point: ``12680.0`` is ``12680``."""
    return map_distinct_texts(column, _customer_id)


def _customer_id(text: str) -> str | None:
    text = text.strip()
    match = _WHOLE_NUMBER.fullmatch(text)
    return (match[1] if match else text) or None


def _longer(texts: pd.Series, limit: int) -> pd.Series:
    return where_distinct(texts, lambda text: len(text) > limit)
