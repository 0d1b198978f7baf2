"""Invoices: cleaned lines as the log of purchases, the one type that training and stream share."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from state.events.attributes import COUNTRY, NO_ATTRIBUTES, Attributes, clean_attributes, combine_attributes
from state.events.invoice import Invoice, Line
from training.data import columns
from training.data.cleaning.clean import CleanedLines


def invoices(cleaned: CleanedLines) -> list[Invoice]:
    """The log: one invoice a customer and invoice number, sales and returns, sorted by (date, invoice number).

    An invoice is dated at its earliest line, as in a history; its lines stand in the order of the table. What the table
    says of customers and items comes as their attributes, one object for all invoices and lines of one.
    """
    frame = cleaned.frame
    if frame.empty:
        return []
    keys = [columns.INVOICE_NO, columns.CUSTOMER_ID]
    group = frame.groupby(keys, sort=False).ngroup().to_numpy()
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    dates = np.minimum.reduceat(frame[columns.DATE].to_numpy()[order], starts)
    first = order[starts]
    known = cleaned.attributes
    by_customer, by_item = ({}, {}) if known is None else (known.by_customer(), known.by_item())
    lines = _lines(frame, order, by_item)
    country = frame[columns.COUNTRY].groupby(group).first().reindex(group[first])
    of_countries = {where: clean_attributes([(COUNTRY, where)]) for where in country.dropna().unique()}
    log = [
        Invoice(
            number,
            customer,
            date,
            tuple(lines[start:end]),
            combine_attributes(by_customer.get(customer, NO_ATTRIBUTES), of_countries.get(where, NO_ATTRIBUTES)),
        )
        for number, customer, date, start, end, where in zip(
            frame[columns.INVOICE_NO].iloc[first].tolist(),
            frame[columns.CUSTOMER_ID].iloc[first].tolist(),
            dates.tolist(),
            starts.tolist(),
            ends.tolist(),
            _optional(country),
            strict=True,
        )
    ]
    log.sort(key=lambda invoice: (invoice.date, invoice.invoice_no, invoice.customer_id))
    return log


def _lines(frame: pd.DataFrame, order: np.ndarray, by_item: Mapping[str, Attributes]) -> list[Line]:
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
