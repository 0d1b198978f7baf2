"""Examples for the two towers: compact arrays out of the walk over the log.

The items' changing inputs are not kept for every moment: consecutive moments share a *snapshot* of them, taken at the
first of these moments, so that memory grows with the moments and not with moments × items, and nothing bought at a
moment is in its snapshot.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.invoice import Invoice
from training.data.walk import is_purchase, walk
from training.features.item_table import ItemTable
from training.features.shop import Shop
from training.serving.hybrid_inputs import KNOWN, Customer, Floats, Ints, customer

SNAPSHOTS = 512
"""Snapshots of the items at most; a moment is at most this part of the log behind its snapshot."""

NO_ROWS = np.zeros(0, np.int64)
NO_WEIGHTS = np.zeros(0, np.float32)
NO_KNOWN = np.zeros((0, len(KNOWN)), np.float32)


class Bags(NamedTuple):
    """Lists of different lengths, one after the other: list ``n`` is ``row[start[n]:start[n + 1]]``."""

    start: Ints
    row: NDArray[np.int32]

    def of(self, chosen: Ints) -> tuple[Ints, Ints]:
        """Where the entries of some lists are, and for each which of ``chosen`` it belongs to."""
        length = self.start[chosen + 1] - self.start[chosen]
        owner = np.repeat(np.arange(len(chosen)), length)
        offset = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        return self.start[chosen][owner] + offset, owner


class Snapshot(NamedTuple):
    """The items at one moment: the first ``size`` rows of the table; ``fixed`` float16 ``[size, CHANGING]``."""

    size: int
    fixed: NDArray[np.float16]


class Examples(NamedTuple):
    """Moments with what was bought next.

    ``snapshot`` int64 ``[moments]`` · ``history``: the bags, with ``weight`` float32 ``[entries]`` and ``known``
    float16 ``[entries, KNOWN]`` · ``bought``: the rows of the next purchase · ``customers``: numbers and attributes,
    as ``Customer`` without the bag · ``table``: the items as of the last moment.
    """

    snapshot: Ints
    history: Bags
    weight: Floats
    known: NDArray[np.float16]
    bought: Bags
    customers: list[Customer]
    snapshots: list[Snapshot]
    table: ItemTable


def collect(invoices: Sequence[Invoice], *, start: int, until: int, window: int, most: int, new_only: bool) -> Examples:
    """The newest ``most`` moments (visits and emissions) whose next purchase lies in [``start``, ``until``).

    Args:
        invoices: The log, sorted by (date, invoice number).
        start: First second of the next purchases.
        until: First second that must stay unknown.
        window: Number of invoices that a history holds.
        most: Bounds memory and time.
        new_only: Learn only what was new to the customer in the window; moments without any are left out.
    """
    dates = [i.date for i in invoices if start <= i.date < until and is_purchase(i)]
    if 2 * len(dates) > most:
        start = dates[-(most // 2)]
    every = max(1, -(-2 * len(dates) // SNAPSHOTS))
    snapshot: list[int] = []
    bags: list[NDArray[np.int32]] = []
    weights: list[Floats] = []
    known: list[NDArray[np.float16]] = []
    bought: list[NDArray[np.int32]] = []
    customers: list[Customer] = []
    snapshots: list[Snapshot] = []
    table = ItemTable()
    for number, moment in enumerate(walk(invoices, moment="both", start=start, end=until, window=window)):
        table = moment.items
        if number % every == 0:
            shop = Shop.at(table, moment.now, 0)
            snapshots.append(Snapshot(shop.size, shop.fixed.astype(np.float16)))
        wanted = {line.stock_code for line in moment.target.lines if line.quantity > 0}
        if new_only:
            wanted -= {line.stock_code for held in moment.history.invoices for line in held.lines if line.quantity > 0}
        rows = sorted(table.rows[code] for code in wanted if code in table.rows)
        rows = [row for row in rows if row < snapshots[-1].size]
        if not rows:
            continue
        each = customer(moment.history, table, moment.now)
        inside = each.rows < snapshots[-1].size
        snapshot.append(len(snapshots) - 1)
        bags.append(each.rows[inside].astype(np.int32))
        weights.append(each.weights[inside])
        known.append(each.known[inside].astype(np.float16))
        bought.append(np.asarray(rows, np.int32))
        customers.append(each._replace(rows=NO_ROWS, weights=NO_WEIGHTS, known=NO_KNOWN))
    return Examples(
        np.asarray(snapshot, np.int64),
        _bags(bags),
        np.concatenate([NO_WEIGHTS, *weights]),
        np.concatenate([NO_KNOWN.astype(np.float16), *known]),
        _bags(bought),
        customers,
        snapshots,
        table,
    )


def _bags(lists: Sequence[NDArray[np.int32]]) -> Bags:
    start = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(each) for each in lists], out=start[1:])
    return Bags(start, np.concatenate(lists) if lists else np.zeros(0, np.int32))


def batches(examples: Examples, size: int, generator: np.random.Generator) -> Iterator[Ints]:
    """Moments in batches of one snapshot each, in random order."""
    found: list[Ints] = []
    limits = np.flatnonzero(np.diff(examples.snapshot)) + 1
    for group in np.split(np.arange(len(examples.snapshot)), limits):
        mixed = generator.permutation(group)
        found.extend(np.array_split(mixed, -(-len(mixed) // size)))
    for place in generator.permutation(len(found)):
        yield found[place]
