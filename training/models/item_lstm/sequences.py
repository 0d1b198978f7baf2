"""Sequences: the items of each customer in order of purchase, cut into the windows that a network reads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.events.invoice import Invoice

Indices = NDArray[np.int32]

NO_TARGET = -1


class Purchase(NamedTuple):
    """One item of an invoice: its stock code, and the invoice's date in seconds since 1970."""

    stock_code: str
    date: int


def item_sequences(invoices: Sequence[Invoice], until: int) -> dict[str, list[Purchase]]:
    """What each customer bought before ``until``, oldest first, by customer.

    Invoices follow each other by (date, invoice number), the items of one in the order of its lines in the log; an item
    counts once an invoice, at its first line. Returns are skipped: a returned item was the next one all the same.
    """
    found: dict[str, list[Purchase]] = {}
    for invoice in invoices:
        if invoice.date >= until:
            break
        if invoice.customer_id is not None:
            found.setdefault(invoice.customer_id, []).extend(
                Purchase(code, invoice.date) for code in invoice.purchased_codes_in_order
            )
    return found


def most_purchased(bought: Iterable[Sequence[Purchase]], size: int) -> dict[str, int]:
    """The ``size`` stock codes in most invoices, and their number of invoices; most first, ties by stock code."""
    count: dict[str, int] = {}
    for sequence in bought:
        for item in sequence:
            count[item.stock_code] = count.get(item.stock_code, 0) + 1
    chosen = sorted(count, key=lambda code: (-count[code], code))[:size]
    return {code: count[code] for code in chosen}


class Windows(NamedTuple):
    """Stretches of sequences: ``input_items`` int32 ``[windows, steps]``, and ``target``, the next item after each.

    Both hold indices in a vocabulary; padding and items that are no targets are ``NO_TARGET``.
    """

    input_items: Indices
    target: Indices

    @property
    def targets(self) -> int:
        """Number of targets."""
        return int((self.target != NO_TARGET).sum())


def windows(
    bought: Iterable[Sequence[Purchase]], index_of: Mapping[str, int], steps: int, *, start: int | None = None, end: int
) -> Windows:
    """Cut sequences into stretches of ``steps`` items, one after the other; every stretch is read from its own start.

    Args:
        bought: One sequence a customer.
        index_of: Index of each stock code of the vocabulary; other items are dropped.
        steps: Length of a stretch.
        start: Only items dated at or after it are targets; every one is where it is None.
        end: Items dated at or after it are left out.
    """
    inputs: list[list[int]] = []
    target: list[list[int]] = []
    for sequence in bought:
        known = [
            (index_of[item.stock_code], item.date)
            for item in sequence
            if item.date < end and item.stock_code in index_of
        ]
        for first in range(0, len(known) - 1, steps):
            stretch = known[first : first + steps + 1]
            targets = [code if start is None or date >= start else NO_TARGET for code, date in stretch[1:]]
            if any(code != NO_TARGET for code in targets):
                missing = steps - len(targets)
                inputs.append([code for code, _ in stretch[:-1]] + [0] * missing)
                target.append(targets + [NO_TARGET] * missing)
    return Windows(np.asarray(inputs, np.int32).reshape(-1, steps), np.asarray(target, np.int32).reshape(-1, steps))
