"""Invoices: cleaned lines as the type of ``state``, which training and the stream share."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from state.events.attributes import COUNTRY, NO_ATTRIBUTES, Attributes, clean_attributes, combine_attributes
from state.events.invoice import Invoice, Line
from training.data import columns
from training.data.cleaning.clean import CleanedLines


def invoices(cleaned: CleanedLines) -> list[Invoice]:
    """One invoice for each customer and invoice number, sales and returns, sorted by (date, invoice number, customer).

    An invoice has the date of its earliest line, as in a history, and its lines in the order of the table. Attributes
    are one object for all invoices of a customer in a country, and for all lines of an item.
    """
    frame = cleaned.frame
    if frame.empty:
        return []
    group = frame.groupby([columns.INVOICE_NO, columns.CUSTOMER_ID], sort=False).ngroup().to_numpy()
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    dates = np.minimum.reduceat(frame[columns.DATE].to_numpy()[order], starts)
    first_rows = order[starts]
    tables = cleaned.attributes
    by_customer, by_item = ({}, {}) if tables is None else (tables.by_customer(), tables.by_item())
    lines = _lines(frame, order, by_item)
    countries = frame[columns.COUNTRY].groupby(group).first().reindex(group[first_rows])
    by_country = {country: clean_attributes([(COUNTRY, country)]) for country in countries.dropna().unique()}
    log = [
        Invoice(
            number,
            customer,
            date,
            tuple(lines[start:end]),
            combine_attributes(by_customer.get(customer, NO_ATTRIBUTES), by_country.get(country, NO_ATTRIBUTES)),
        )
        for number, customer, date, start, end, country in zip(
            frame[columns.INVOICE_NO].iloc[first_rows].tolist(),
            frame[columns.CUSTOMER_ID].iloc[first_rows].tolist(),
            dates.tolist(),
            starts.tolist(),
            ends.tolist(),
            _optional(countries),
            strict=True,
        )
    ]
    log.sort(key=lambda invoice: (invoice.date, invoice.invoice_no, invoice.customer_id))
    return log


def _lines(frame: pd.DataFrame, order: NDArray[np.intp], by_item: Mapping[str, Attributes]) -> list[Line]:
    rows = frame.iloc[order]
    codes = rows[columns.STOCK_CODE].tolist()
    return [
        Line(*content)
        for content in zip(
            codes,
            rows[columns.QUANTITY].tolist(),
            rows[columns.UNIT_PRICE].tolist(),
            _optional(rows[columns.DESCRIPTION]),
            _optional(rows[columns.LINE_ID]),
            [by_item.get(code, NO_ATTRIBUTES) for code in codes],
            strict=True,
        )
    ]


def _optional(texts: pd.Series) -> list[str | None]:
    return texts.astype(object).where(texts.notna(), None).tolist()
