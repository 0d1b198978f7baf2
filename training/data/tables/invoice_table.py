"""Invoice tables: the entry to all tables that can be read. Rows are typed here; ``cleaning`` decides which count.

``load`` reads UCI Online Retail and Online Retail II, the retail case study, any table with the columns of the wire,
and foreign tables (docs/reference/data.md). ``columns`` decides which column is which, ``dates`` how dates are written,
``numbers`` and ``cells`` how numbers and texts are, ``row_types`` which rows are sales, ``layout`` and ``receipts``
what rows mean together, ``files``, ``delimited``, ``workbook`` and ``parquet`` read the formats. Whatever a reader
assumes is one of ``InvoiceTable.assumptions``, which the ledger repeats.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from state.events.text import clean_text
from training.data import columns
from training.data.assumption import Assumption, of_column, of_columns
from training.data.distinct import map_distinct_texts
from training.data.errors import NoTable, NothingLeft
from training.data.memory import available_memory
from training.data.tables.case_study import AttributeTables, is_case_study, is_case_study_file, read_case_study
from training.data.tables.cells import parse_codes, parse_texts
from training.data.tables.dates import parse_dates
from training.data.tables.decisions import BatchedTable, Decisions, default_date_order
from training.data.tables.detection import DialectEvidence
from training.data.tables.files import files_as_one, find_files, memory_at_once, read_batches, read_files, unread_files
from training.data.tables.layout import fill_down, join_times, total_rows, unique_line_ids, unique_standard_line_ids
from training.data.tables.numbers import find_decimal_mark, parse_numbers
from training.data.tables.raw_table import RawTable
from training.data.tables.receipts import NumberUse, separate_receipts
from training.data.tables.repetitions import separate_lines
from training.data.tables.row_types import find_row_types

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InvoiceTable:
    """An invoice table with typed columns: one row a line, in the order of the file, nothing left out.

    Attributes:
        frame: All columns of ``training.data.columns``, optional ones as missing values where the file has none:

            - ``invoice_no``, ``stock_code``, ``customer_id``, ``description``, ``country``, ``line_id``: text or
              missing; codes that a spreadsheet holds as numbers are written as whole numbers;
            - ``quantity`` (units), ``unit_price``: float64, NaN where there is no number;
            - ``invoice_date``: UTC to the second, missing where there is no date.

            Where the file has columns that are not read, ``unread_columns`` is a hash of them (uint64), and ``gaps``
            how many of them have no value. Where it has tills, ``till`` is their text.
        uci: Whether columns and stock codes are those of UCI Online Retail (I or II), so that its dialect applies;
            False in a batch, where it is not known.
        timezone: The zone in which dates without one were read.
        assumptions: Everything that reading the table assumed.
        retyped: Number of rows with a cell that the file holds in another type.
        attributes: Attributes of customers and items in the retail case study, None for other tables.
        filled: Columns that the file lacks, with a default in every row.
        start_anew: ``NumberUse.start_anew`` of the whole table; None where it is not known, as in a batch.
        evidence: Of a batch: what its rows show of the dialect, which all batches decide.
    """

    frame: pd.DataFrame
    uci: bool
    timezone: str = "UTC"
    assumptions: tuple[Assumption, ...] = ()
    retyped: int = 0
    attributes: AttributeTables | None = None
    filled: tuple[str, ...] = ()
    start_anew: bool | None = None
    evidence: DialectEvidence | None = None


class TableBatches(NamedTuple):
    """An invoice table in batches of consecutive rows.

    Attributes:
        rows: Of all batches together.
        tables: The batches, at least one.
        attributes: As those of an ``InvoiceTable``.
    """

    rows: int
    tables: Iterator[InvoiceTable]
    attributes: AttributeTables | None = None


def load(path: Path, *, timezone: str = "UTC", date_format: str = "", decimal_mark: str = "") -> InvoiceTable:
    """Read a table, the tables in a folder as one, or the folder of the retail case study.

    Args:
        path: An .xlsx (all sheets that have the columns), .parquet, .csv or .csv.gz file, or a folder.
        timezone: Zone of dates that name none.
        date_format: How dates are written (``dates.parse_dates``); empty: it is found out.
        decimal_mark: ``.`` or ``,`` of all numbers; empty: it is found out.

    Raises:
        NoTable: There is nothing at the path, or no table in the folder, or one in several formats.
        UnreadableTable: The file is damaged or of another format.
        MissingColumns: A needed column is missing.
        UnclearDates: How the dates are written cannot be found out.
        UnclearNumbers: Which mark is the decimal one cannot be found out.
        BrokenReference: A key in a file of the case study is missing or repeated.
        NothingLeft: The table has no rows.
    """
    attributes = None
    if path.is_dir() and is_case_study(path):
        raw, attributes = read_case_study(path, timezone, date_format)
    else:
        paths = _find_files(path)
        raw = read_files(paths)
        mapping = columns.require_columns([str(name) for name in raw.frame.columns])
        filled, assumption = fill_down(raw.frame, mapping)
        raw = RawTable(filled, (*unread_files(path), *raw.assumptions, *filter(None, [assumption])))
    _require_rows(len(raw.frame), path)
    logger.info("read %d rows of %s", len(raw.frame), path)
    table = _typed(raw, timezone, attributes, date_format, decimal_mark)
    if attributes is not None:
        return table
    use = NumberUse()
    use.add(table.frame[columns.INVOICE_NO], table.frame[columns.CUSTOMER_ID])
    return separate_invoices(replace(table, start_anew=use.start_anew))


def separate_invoices(table: InvoiceTable, *, uci: bool = True) -> InvoiceTable:
    """A table, or a part with all rows of its customers, in which a number is one invoice, and an id one line of it.

    Args:
        table: The table or part.
        uci: Whether rows of UCI's table are one line where they would be one on the wire, as in the published figures.
    """
    if table.attributes is not None:
        return table
    frame, assumptions = separate_receipts(table.frame, start_anew=bool(table.start_anew))
    frame, joined = unique_standard_line_ids(frame)
    frame, separated = (frame, None) if uci and table.uci else separate_lines(frame)
    about_lines = filter(None, [joined, separated])
    return replace(table, frame=frame, assumptions=(*table.assumptions, *assumptions, *about_lines))


def load_batches(path: Path, *, timezone: str = "UTC", date_format: str = "", decimal_mark: str = "") -> TableBatches:
    """``load`` for a table that may exceed memory; one that only all rows show how to read comes as one batch.

    Raises:
        DataError: As ``load``; also while the batches are read.
    """
    found = None
    if not (path.is_dir() and is_case_study(path)):
        paths = _find_files(path)
        found = read_batches(paths, timezone, date_format, decimal_mark)
        if found is None:
            _warn_of_memory(path, memory_at_once(paths))
    if found is None:
        table = load(path, timezone=timezone, date_format=date_format, decimal_mark=decimal_mark)
        return TableBatches(len(table.frame), iter([table]), table.attributes)
    _require_rows(found.rows, path)
    about_all = [*unread_files(path), *files_as_one(paths, len(paths))]
    return TableBatches(found.rows, _typed_batches(found, timezone, date_format, about_all))


def from_frame(frame: pd.DataFrame, *, timezone: str = "UTC", date_format: str = "") -> InvoiceTable:
    """``load`` for a data frame with the column names of a file.

    Raises:
        MissingColumns: A needed column is missing.
        UnclearDates: How the dates are written cannot be found out.
    """
    return _typed(RawTable(frame), timezone, None, date_format)


def _find_files(path: Path) -> list[Path]:
    if not path.exists():
        raise NoTable(f"There is nothing at {path}. Check the path; it may be a table or a folder that holds one.")
    if path.is_file() and is_case_study(path.parent) and is_case_study_file(path):
        raise NoTable(f"{path} is one of the three files of the retail case study. Give their folder.")
    return find_files(path)


def _warn_of_memory(path: Path, needed: int) -> None:
    """Warn where a table that is read at once takes more memory than there is."""
    available = available_memory()
    if available is not None and needed > available:
        logger.warning(
            "%s can only be read at once, which takes some %.1f GB of memory, and %.1f GB are available. Write it as "
            "Parquet, with dates and numbers in their own types and all cells of an order in each of its rows: then "
            "it is read in batches.",
            *(path, needed / 1e9, available / 1e9),
        )


def _require_rows(rows: int, path: Path) -> None:
    if not rows:
        raise NothingLeft(f"{path} holds no rows below its column names. Give a table with purchases.")


def _typed_batches(
    table: BatchedTable, timezone: str, date_format: str, assumptions: list[Assumption]
) -> Iterator[InvoiceTable]:
    """Batches of one table; ``assumptions`` about the whole are those of the first."""
    about_all = assumptions
    for raw in table.batches:
        raw = raw._replace(assumptions=(*about_all, *raw.assumptions))
        about_all = []
        yield _typed(raw, timezone, None, date_format, decisions=table.decisions)


def _typed(
    raw: RawTable,
    timezone: str,
    attributes: AttributeTables | None,
    date_format: str,
    decimal_mark: str = "",
    *,
    decisions: Decisions | None = None,
) -> InvoiceTable:
    """The table, or a batch of it, with typed columns; ``decisions`` of the whole table where this is a batch."""
    whole = decisions is None
    header = [str(name) for name in raw.frame.columns]
    mapping = columns.require_columns(header)
    assumptions = [*raw.assumptions]
    for column, name in mapping.items():
        if not columns.is_standard_name(name):
            cure = f"rename it, or name the column that is the {column} so"
            assumptions.append(Assumption(of_column(name), f"it is read as {column}", cure))
    unread = [name for name in header if name not in mapping.values() and not columns.numbers_rows(name)]
    published = raw.frame.set_axis(header, axis=1)
    totals, left_out = total_rows(published, mapping)
    assumptions += left_out
    published = published[~totals].reset_index(drop=True) if left_out else published
    types = find_row_types(published, unread, mapping.get(columns.INVOICE_NO), unnamed=whole)
    assumptions += types.assumptions
    published = published[types.sales].reset_index(drop=True)
    days, joined = join_times(published, mapping[columns.INVOICE_DATE], unread)
    assumptions += [joined] if joined else []
    times = columns.find_time_column(unread) if joined else None
    till = columns.find_till_column(unread)
    if till is not None:
        what = "it separates receipts of one number where their times differ, and is not read otherwise"
        assumptions.append(Assumption(of_column(till), what, "take out the column"))
    if others := [name for name in unread if name not in (*types.read, times, till)]:
        cure = "give one that should be read a name that is known"
        assumptions.append(Assumption(of_columns(others[:20]), "not read", cure))
    frame = pd.DataFrame(index=pd.RangeIndex(len(published)))
    converted = np.zeros(len(frame), dtype=bool)
    numeric = [mapping[column] for column in (columns.QUANTITY, columns.UNIT_PRICE) if column in mapping]
    found = decisions or Decisions(find_decimal_mark({name: published[name] for name in numeric}, decimal_mark))
    for column in columns.ALL:
        if column not in mapping:
            frame[column] = pd.Series(pd.NA, index=frame.index, dtype="str")
            continue
        name = mapping[column]
        cells = published[name]
        if column == columns.INVOICE_DATE:
            parsed = parse_dates(
                days,
                timezone,
                name=name,
                default_order=default_date_order(mapping),
                date_format=date_format,
                found_order=None if whole else found.order,
            )
        elif column in (columns.QUANTITY, columns.UNIT_PRICE):
            parsed = parse_numbers(cells, name, found.mark)
        elif column in (columns.DESCRIPTION, columns.COUNTRY):
            parsed = parse_texts(cells)
        else:
            style = found.codes.get(column)
            parsed = parse_codes(cells, name, whole=column != columns.CUSTOMER_ID, style=style)
        frame[column] = parsed.values
        converted |= parsed.converted
        assumptions += parsed.assumptions
    filled = _fill_missing_columns(frame, mapping, timezone, whole=whole)
    assumptions += filled.values()
    if columns.LINE_ID in mapping and not columns.is_standard_name(mapping[columns.LINE_ID]):
        numbered = unique_line_ids(frame, mapping[columns.LINE_ID])
        assumptions += [numbered] if numbered else []
    if unread:
        frame[columns.UNREAD] = pd.util.hash_pandas_object(_comparable(published[unread]), index=False)
        frame[columns.GAPS] = published[unread].isna().sum(axis=1)
    if till is not None:
        frame[columns.TILL] = parse_texts(published[till]).values
    frame[columns.QUANTITY], count, settled = types.settle(frame[columns.QUANTITY])
    assumptions += settled
    frame = frame[count].reset_index(drop=True)
    evidence = DialectEvidence.of(header, frame)
    retyped = int(converted[count].sum())
    table = InvoiceTable(frame, False, timezone, tuple(assumptions), retyped, attributes, (*filled,), evidence=evidence)
    return settle_dialect(table) if whole else table


def settle_dialect(table: InvoiceTable) -> InvoiceTable:
    """A table whose evidence is that of all batches, in the dialect that it shows."""
    if table.evidence is None:
        return table
    uci, doubt = table.evidence.decide()
    assumptions = (*table.assumptions, *filter(None, [doubt]))
    return replace(table, uci=uci, assumptions=assumptions, evidence=None)


def _comparable(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells as text that does not depend on the other rows; that of a date alone would lack its time among days."""
    dates = cells.select_dtypes(["datetime", "datetimetz"])
    return cells.assign(**dates.apply(lambda column: column.astype("int64"))).astype("str")


def _fill_missing_columns(
    frame: pd.DataFrame, mapping: dict[str, str], timezone: str, *, whole: bool
) -> dict[str, Assumption]:
    """Give columns that the table lacks a default, and return the assumption of each by its column.

    Codes that are missing in the ``whole`` table are lacking, too.
    """
    filled = {}
    cure = "name a column {}"
    empty = whole and columns.STOCK_CODE in mapping and frame[columns.STOCK_CODE].isna().all()
    if columns.STOCK_CODE not in mapping or (empty and columns.DESCRIPTION in mapping):
        described = map_distinct_texts(frame[columns.DESCRIPTION], lambda text: clean_text(text) or None)
        frame[columns.STOCK_CODE] = described
        where = of_column(mapping[columns.STOCK_CODE]) if empty else "stock code"
        what = f"{'it is empty' if empty else 'there is none'}: the description names the item"
        filled[columns.STOCK_CODE] = Assumption(where, what, cure.format(columns.STOCK_CODE))
    if columns.INVOICE_NO not in mapping:
        days = frame[columns.INVOICE_DATE].dt.tz_convert(timezone).dt.strftime("%Y-%m-%d")
        both = frame[columns.CUSTOMER_ID].fillna("") + " " + days.fillna("")
        frame[columns.INVOICE_NO] = both.str.strip().replace("", pd.NA).astype("str")
        what = "there is none: what one customer bought on one day is one invoice"
        filled[columns.INVOICE_NO] = Assumption("invoice number", what, cure.format(columns.INVOICE_NO))
    for column, noun in ((columns.QUANTITY, "quantity"), (columns.UNIT_PRICE, "price")):
        if column not in mapping:
            frame[column] = 1.0
            what = "there is none: it is taken as 1 in every row"
            filled[column] = Assumption(noun, what, cure.format(column))
    return filled
