"""Purchases: the log as columns of numbers, for what needs no whole invoices: who bought what, when, at what price.

A column that outgrows ``_SPILL_ROWS`` rows is mapped from a file without a name, so a log may exceed memory.
"""

from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from state.events.attributes import Attributes
from state.events.invoice import THOUSAND, Invoice

NONE = -1
"""The number of a customer, an invoice or a description that there is not."""

_SPILL_ROWS = 1 << 20
_SPILL_INVOICES = 10_000
"""Number of invoices after which columns are written to their files where they have so many rows in memory."""

Ints = NDArray[np.int64]


class Purchases:
    """The invoices of a log, and their sales: an invoice and a stock code that it holds with a quantity above 0.

    Invoices without a customer have no sales. Items, customers and texts are numbered in the order of their first
    sight in the log, so the numbers of a log's beginning are those of the whole log.

    Attributes:
        codes: Stock code of each item.
        customers: Id of each customer; those who only returned something are among them.
        texts: The distinct descriptions of lines of invoices with sales.
        text_since: Index of the invoice in which each text occurs first, int64 ``[texts]``.
        attributes: Attributes of items, each mapping once.
        date: Date of each invoice, seconds since 1970, int64 ``[invoices]``.
        customer: Number of its customer or ``NONE``, int32 ``[invoices]``.
        first_sale: First sale of each invoice, int64 ``[invoices + 1]``.
        item: Item of each sale, int32 ``[sales]``, each once an invoice, in the order of its lines.
        units: Units of the item in the invoice, float64 ``[sales]``.
        price: Its greatest unit price in the invoice, float64 ``[sales]``.
        text: Its description in the invoice (the largest text) or ``NONE``, int32 ``[sales]``.
        attributed: Sales whose lines have attributes, int64, one for each such line.
        attribute: The attributes of that line, int32.
    """

    def __init__(
        self,
        names: tuple[Sequence[str], Sequence[str], Sequence[str], Sequence[Attributes]],
        text_since: Ints,
        date: Ints,
        customer: NDArray[np.int32],
        first_sale: Ints,
        sales: tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]],
        attributed: Ints,
        attribute: NDArray[np.int32],
    ) -> None:
        self.codes, self.customers, self.texts, self.attributes = names
        self.text_since = text_since
        self.date, self.customer, self.first_sale = date, customer, first_sale
        self.item, self.units, self.price, self.text = sales
        self.attributed, self.attribute = attributed, attribute

    @classmethod
    def of(cls, invoices: Iterable[Invoice]) -> "Purchases":
        """Read invoices, sorted by date, once."""
        builder = _Builder()
        for invoice in invoices:
            builder.add(invoice)
        return builder.build()

    def __len__(self) -> int:
        return len(self.date)

    def before(self, invoice: int) -> "Purchases":
        """The beginning of the log up to an invoice, not included; the columns are views."""
        if invoice >= len(self):
            return self
        sale = int(self.first_sale[invoice])
        attributed = int(np.searchsorted(self.attributed, sale))
        return Purchases(
            (self.codes, self.customers, self.texts, self.attributes),
            self.text_since,
            self.date[:invoice],
            self.customer[:invoice],
            self.first_sale[: invoice + 1],
            (self.item[:sale], self.units[:sale], self.price[:sale], self.text[:sale]),
            self.attributed[:attributed],
            self.attribute[:attributed],
        )

    def between(self, start: int, end: int) -> tuple["Purchases", Ints]:
        """A part of the log in memory, with only the texts and attributes that occur in it.

        Invoices, sales, texts and attributes are numbered from 0 on; items and customers keep their numbers. The ids of
        the customers are left out.

        Returns:
            The invoices from ``start`` to ``end``, not included, and the numbers of their texts in the log, rising.
        """
        first, last = int(self.first_sale[start]), int(self.first_sale[end])
        texts, text = np.unique(self.text[first:last], return_inverse=True)
        nothing = int(len(texts) > 0 and texts[0] == NONE)
        lines = slice(*np.searchsorted(self.attributed, (first, last)).tolist())
        attributes, attribute = np.unique(self.attribute[lines], return_inverse=True)
        item = np.array(self.item[first:last])
        part = Purchases(
            (
                self.codes[: int(item.max(initial=-1)) + 1],
                (),
                [self.texts[number] for number in texts[nothing:].tolist()],
                [self.attributes[number] for number in attributes.tolist()],
            ),
            np.zeros(len(texts) - nothing, np.int64),
            np.array(self.date[start:end]),
            np.array(self.customer[start:end]),
            np.asarray(self.first_sale[start : end + 1]) - first,
            (
                item,
                np.array(self.units[first:last]),
                np.array(self.price[first:last]),
                (text - nothing).astype(np.int32),
            ),
            np.asarray(self.attributed[lines]) - first,
            attribute.astype(np.int32),
        )
        return part, texts[nothing:].astype(np.int64)

    def invoices_of(self, customer: int) -> Ints:
        """Indices of all invoices of a customer, returns included, int64, rising."""
        order, starts = self._all_by_customer
        return order[starts[customer] : starts[customer + 1]]

    def first_at(self, date: int) -> int:
        """Index of the first invoice dated at or after ``date``, or the number of invoices."""
        return int(np.searchsorted(self.date, date))

    @property
    def n_items(self) -> int:
        """Number of items sold."""
        return int(self.item.max(initial=-1)) + 1

    @cached_property
    def sizes(self) -> Ints:
        """Number of sales of each invoice, int64 ``[invoices]``."""
        return np.diff(self.first_sale)

    @cached_property
    def invoice(self) -> Ints:
        """Indices of the invoices with a sale, int64 ``[purchase invoices]``."""
        return np.flatnonzero(np.diff(self.first_sale) > 0)

    @cached_property
    def previous(self) -> Ints:
        """Of each purchase invoice the customer's previous one, as an index of the log, or ``NONE``."""
        return self._neighbour(1)

    @cached_property
    def following(self) -> Ints:
        """Of each purchase invoice the customer's next one, as an index of the log, or ``NONE``."""
        return self._neighbour(-1)

    @cached_property
    def number(self) -> Ints:
        """Of each purchase invoice the number of the customer's earlier ones."""
        order, starts = self._by_customer
        numbers = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        found = np.empty(len(order), np.int64)
        found[order] = numbers
        return found

    @cached_property
    def is_new(self) -> NDArray[np.bool_]:
        """Whether a sale is the customer's first of its item, bool ``[sales]``."""
        found = np.zeros(len(self.item), np.bool_)
        found[self.first_sales] = True
        return found

    @cached_property
    def first_sales(self) -> Ints:
        """The customers' first sales of their items, int64, sorted by customer and item."""
        key = np.repeat(self.customer.astype(np.int64), self.sizes) * (len(self.codes) + 1) + self.item
        order = np.argsort(key, kind="stable")
        return order[np.flatnonzero(np.diff(key[order], prepend=-1))]

    @cached_property
    def first_sale_customers(self) -> NDArray[np.int32]:
        """The customer of each of ``first_sales``, int32, rising."""
        return np.repeat(self.customer, self.sizes)[self.first_sales]

    @cached_property
    def bought_before(self) -> tuple[Ints, Ints, NDArray[np.int32]]:
        """The items that a customer bought before each purchase invoice.

        Of each purchase invoice the first of them and their number, int64 ``[purchase invoices]``, and the items of all
        customers, int32: those of a customer one after the other, in the order of their first sales.
        """
        n_new = np.diff(np.concatenate([[0], np.cumsum(self.is_new)])[self.first_sale])[self.invoice]
        order, starts = self._by_customer
        before = np.cumsum(n_new[order]) - n_new[order]
        of_customer = np.repeat(before[starts], np.diff(np.append(starts, len(order))))
        first, number = np.empty_like(before), np.empty_like(before)
        first[order], number[order] = of_customer, before - of_customer
        sales = np.flatnonzero(self.is_new)
        customer = np.repeat(self.customer, self.sizes)[sales]
        return first, number, self.item[sales[np.argsort(customer, kind="stable")]]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Purchases":
        return self  # nothing changes it

    @cached_property
    def _by_customer(self) -> tuple[Ints, Ints]:
        """Positions among the purchase invoices sorted by customer, and the first of each customer in that order."""
        customer = self.customer[self.invoice]
        order = np.argsort(customer, kind="stable")
        return order, np.flatnonzero(np.diff(customer[order], prepend=-1))

    @cached_property
    def _all_by_customer(self) -> tuple[Ints, Ints]:
        """All invoices sorted by customer, and the first of each customer in that order; anonymous ones come first."""
        order = np.argsort(self.customer, kind="stable")
        return order, np.searchsorted(self.customer[order], np.arange(len(self.customers) + 1))

    def _neighbour(self, step: int) -> Ints:
        order, starts = self._by_customer
        sorted_invoices = self.invoice[order]
        neighbours = np.roll(sorted_invoices, step)
        if len(order):
            neighbours[starts if step == 1 else np.append(starts[1:], len(order)) - 1] = NONE
        found = np.empty(len(order), np.int64)
        found[order] = neighbours
        return found


def purchases_of(invoices: Sequence[Invoice]) -> Purchases:
    """The columns of a log; those of an ``InvoiceLog`` are read once."""
    found = getattr(invoices, "purchases", None)
    return found if isinstance(found, Purchases) else Purchases.of(invoices)


class _Column:
    """A column that grows, in memory while it is short and else in a file without a name."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._file: BinaryIO | None = None
        self._written = 0
        self.rows = array(code)

    def spill(self) -> None:
        """Write to the file what is in memory, where it is much."""
        if len(self.rows) < _SPILL_ROWS:
            return
        if self._file is None:
            self._file = TemporaryFile(prefix="nextbasket-log-")  # noqa: SIM115 - closed once it is mapped
        self.rows.tofile(self._file)
        self._written += len(self.rows)
        self.rows = array(self._code)

    def column(self) -> NDArray[Any]:
        """All rows."""
        if self._file is None:
            return np.array(self.rows, np.dtype(self._code))
        self.rows.tofile(self._file)
        self._written += len(self.rows)
        self._file.flush()
        with self._file as file:  # the mapping outlives it
            return np.memmap(file, np.dtype(self._code), mode="r", shape=(self._written,))


class _Builder:
    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._customers: dict[str, int] = {}
        self._texts: dict[str, int] = {}
        self._attributes: dict[tuple[tuple[str, str], ...], int] = {}
        self._attribute_values: list[Attributes] = []
        self._invoices = 0
        self._sales = 0
        self._text_since = array("q")
        self._date, self._customer, self._first_sale = _Column("q"), _Column("i"), _Column("q")
        self._item, self._units, self._price, self._text = _Column("i"), _Column("d"), _Column("d"), _Column("i")
        self._attributed, self._attribute = _Column("q"), _Column("i")

    def add(self, invoice: Invoice) -> None:
        customer = invoice.customer_id
        self._date.rows.append(invoice.date)
        self._first_sale.rows.append(self._sales)
        self._customer.rows.append(
            NONE if customer is None else self._customers.setdefault(customer, len(self._customers))
        )
        if customer is not None:
            self._add_sales(invoice)
        self._invoices += 1
        if self._invoices % _SPILL_INVOICES == 0:
            for column in vars(self).values():
                if isinstance(column, _Column):
                    column.spill()

    def _add_sales(self, invoice: Invoice) -> None:
        sales: dict[str, list[Any]] = {}
        for line in invoice.lines:
            if line.quantity <= 0:
                continue
            sale = sales.get(line.stock_code)
            if sale is None:
                sale = sales[line.stock_code] = [0.0, line.unit_price, line.description, None]
            else:
                if line.unit_price > sale[1]:
                    sale[1] = line.unit_price
                if line.description is not None and (sale[2] is None or line.description > sale[2]):
                    sale[2] = line.description
            sale[0] += line.quantity / THOUSAND
            if line.attributes:
                sale[3] = [*(sale[3] or ()), line.attributes]
        if not sales:
            return
        texts = self._texts
        for line in invoice.lines:
            if line.description is not None and line.description not in texts:
                texts[line.description] = len(texts)
                self._text_since.append(self._invoices)
        codes = self._codes
        self._item.rows.extend([codes.setdefault(code, len(codes)) for code in sales])
        found = sales.values()
        self._units.rows.extend([sale[0] for sale in found])
        self._price.rows.extend([sale[1] for sale in found])
        self._text.rows.extend([NONE if sale[2] is None else texts[sale[2]] for sale in found])
        for offset, sale in enumerate(found):
            for attributes in sale[3] or ():
                self._attributed.rows.append(self._sales + offset)
                self._attribute.rows.append(self._number_of(attributes))
        self._sales += len(sales)

    def _number_of(self, attributes: Attributes) -> int:
        key = tuple(attributes.items())
        number = self._attributes.setdefault(key, len(self._attributes))
        if number == len(self._attribute_values):
            self._attribute_values.append(attributes)
        return number

    def build(self) -> Purchases:
        self._first_sale.rows.append(self._sales)
        return Purchases(
            (list(self._codes), list(self._customers), list(self._texts), self._attribute_values),
            np.array(self._text_since, np.int64),
            self._date.column(),
            self._customer.column(),
            self._first_sale.column(),
            (self._item.column(), self._units.column(), self._price.column(), self._text.column()),
            self._attributed.column(),
            self._attribute.column(),
        )
