"""Examples for the two towers: compact arrays from the walk over the log.

The items' time-varying inputs are not stored for every example: consecutive examples share a *snapshot* of them, taken
at the first of these, so that memory grows with the examples and not with examples × items, and nothing bought in an
example is in its snapshot. Of a large catalogue snapshots are fewer.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.events.attributes import Attributes
from state.events.invoice import Invoice
from training.data.walk import walk
from training.features.item_inputs import ItemSnapshot
from training.features.item_table import ItemTable
from training.features.two_tower.customer import KNOWN, RFMV, CustomerFeatures, Floats, Ints, customer_features

SNAPSHOTS = 512
"""Maximum number of snapshots; an example is at most this part of the log newer than its snapshot."""
SNAPSHOT_ROWS = 10_000_000
"""Rows of all snapshots together, about: 280 MB."""

_NO_ROWS = np.zeros(0, np.int64)
_NO_WEIGHTS = np.zeros(0, np.float32)
_NO_KNOWN = np.zeros((0, len(KNOWN)), np.float32)


class RaggedRows(NamedTuple):
    """Lists of rows, of different lengths, one after the other: list ``n`` is ``row[start[n]:start[n + 1]]``."""

    start: Ints
    row: NDArray[np.int32]

    def of(self, chosen: Ints) -> tuple[Ints, Ints]:
        """Positions of the entries of some lists, and for each the index in ``chosen`` of its list."""
        length = self.start[chosen + 1] - self.start[chosen]
        list_index = np.repeat(np.arange(len(chosen)), length)
        offset = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        return self.start[chosen][list_index] + offset, list_index


class Snapshot(NamedTuple):
    """The first ``size`` rows of the table at one date; ``inputs`` float16 ``[size, TIME_VARYING_INPUTS]``."""

    size: int
    inputs: NDArray[np.float16]


class Examples(NamedTuple):
    """Visits and emissions with what was bought next.

    ``snapshot`` int64 ``[moments]`` · ``history``: the bags, with ``weight`` float16 ``[entries]`` and ``known``
    float16 ``[entries, KNOWN]`` · ``bought``: the rows of the next purchase · ``rfmv`` float32 ``[moments, 4]`` ·
    ``age`` float32 ``[moments]`` · ``attributes``: which of ``groups``, the distinct attributes of customers, int64
    ``[moments]`` · ``table``: the items as of the last moment.
    """

    snapshot: Ints
    history: RaggedRows
    weight: NDArray[np.float16]
    known: NDArray[np.float16]
    bought: RaggedRows
    rfmv: Floats
    age: Floats
    attributes: Ints
    groups: list[Attributes]
    snapshots: list[Snapshot]
    table: ItemTable

    def customers(self, chosen: Ints) -> list[CustomerFeatures]:
        """The customers of some examples, without their bags: enough for their numbers and tags."""
        return [
            CustomerFeatures(
                _NO_ROWS, _NO_WEIGHTS, _NO_KNOWN, self.rfmv[n], float(self.age[n]), self.groups[self.attributes[n]]
            )
            for n in chosen.tolist()
        ]


def collect(invoices: Sequence[Invoice], *, start: int, until: int, window: int, expected: int) -> Examples:
    """All visits, emissions and first purchases whose next invoice is dated in [``start``, ``until``).

    Args:
        invoices: The log, sorted by (date, invoice number).
        start: First second of the next purchases: bounds memory and time.
        until: First second that must stay unknown.
        window: Number of invoices that a history holds.
        expected: Approximate number of examples; spaces the snapshots.
    """
    due = 0
    snapshot: list[int] = []
    bags: list[NDArray[np.int32]] = []
    weights: list[NDArray[np.float16]] = []
    known: list[NDArray[np.float16]] = []
    bought: list[NDArray[np.int32]] = []
    rfmv: list[Floats] = []
    ages: list[float] = []
    group: list[int] = []
    groups: dict[tuple[tuple[str, str], ...], int] = {}
    snapshots: list[Snapshot] = []
    table = ItemTable()
    moments = walk(invoices, moment="both", start=start, end=until, window=window, first=True)
    for number, point in enumerate(moments):
        table = point.items
        if number == due:
            snapshot_now = ItemSnapshot.at(table, point.now, 0)
            snapshots.append(Snapshot(snapshot_now.size, snapshot_now.inputs.astype(np.float16)))
            due += max(1, -(-expected // SNAPSHOTS), -(-expected * snapshot_now.size // SNAPSHOT_ROWS))
        size = snapshots[-1].size
        purchased = point.target.purchased_codes
        rows = sorted(row for code in purchased if (row := table.rows.get(code, size)) < size)
        if not rows:
            continue
        each = customer_features(point.history, table, point.now)
        inside = each.rows < size
        snapshot.append(len(snapshots) - 1)
        bags.append(each.rows[inside].astype(np.int32))
        weights.append(each.weights[inside].astype(np.float16))
        known.append(each.known[inside].astype(np.float16))
        bought.append(np.asarray(rows, np.int32))
        rfmv.append(each.rfmv)
        ages.append(each.age)
        group.append(groups.setdefault(tuple(each.attributes.items()), len(groups)))
    return Examples(
        snapshot=np.asarray(snapshot, np.int64),
        history=_ragged_rows(bags),
        weight=np.concatenate([_NO_WEIGHTS.astype(np.float16), *weights]),
        known=np.concatenate([_NO_KNOWN.astype(np.float16), *known]),
        bought=_ragged_rows(bought),
        rfmv=np.stack(rfmv) if rfmv else np.zeros((0, len(RFMV)), np.float32),
        age=np.asarray(ages, np.float32),
        attributes=np.asarray(group, np.int64),
        groups=[dict(each) for each in groups],
        snapshots=snapshots,
        table=table,
    )


def _ragged_rows(lists: Sequence[NDArray[np.int32]]) -> RaggedRows:
    start = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(each) for each in lists], out=start[1:])
    return RaggedRows(start, np.concatenate(lists) if lists else np.zeros(0, np.int32))


def batches(examples: Examples, size: int, generator: np.random.Generator) -> Iterator[Ints]:
    """Batches of examples of one snapshot each, in random order."""
    found: list[Ints] = []
    limits = np.flatnonzero(np.diff(examples.snapshot)) + 1
    for group in np.split(np.arange(len(examples.snapshot)), limits):
        shuffled = generator.permutation(group)
        found.extend(np.array_split(shuffled, -(-len(shuffled) // size)))
    for index in generator.permutation(len(found)):
        yield found[index]
