"""The index of who is due: a few numbers of every customer, written with each recommendation, read as columns.

The log survival since the newest purchase, and the spending, stay the same until the history changes. The chance
within any window, as of any day, follows from them by a few vector operations. So the list of a day is read, not
predicted, and no entry has to be written anew because a day has passed.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.due import net_spending
from state.domain.history import CustomerHistory
from state.domain.recommendation import Item
from state.events.attributes import Attributes
from state.store.protocol import DueEntry, DueIndex, Store
from training.serving.return_time.network import EDGES
from training.serving.scorer import ReturnSurvival, Scorer

PORTION = 500
"""Histories that are read and predicted at once."""

NO_MODEL = 0
"""Model of an entry without a survival: readers predict it."""

HEAD = np.dtype(
    [
        ("revision", "<f8"),
        ("model", "<u4"),
        ("purchases", "<u4"),
        ("last", "<i8"),
        ("spending", "<f8"),
        ("survival", "<f4", (len(EDGES) - 1,)),
    ]
)
"""First part of a value. ``revision`` of the history · ``model``: ``model_number`` · ``purchases``: number of them ·
``last``: date of the newest, 0 without any · ``spending``: as ``net_spending`` gives it · ``survival``: as
``ReturnSurvival`` gives it, without the first edge, where it is 0."""


class DueColumns(NamedTuple):
    """Customers of the index: ``rows`` ``[n]`` of ``HEAD``; ``rests`` (see ``Rest``) are None where not read."""

    customer_ids: list[str]
    rows: NDArray[np.void]
    rests: list[str] | None

    def taken(self, keep: NDArray[np.bool_]) -> "DueColumns":
        """The customers whose element of ``keep`` is true."""
        at = np.flatnonzero(keep).tolist()
        rests = self.rests
        return DueColumns(
            [self.customer_ids[row] for row in at],
            self.rows[keep],
            None if rests is None else [rests[row] for row in at],
        )

    def joined(self, other: "DueColumns") -> "DueColumns":
        """These and others."""
        rests = None if self.rests is None or other.rests is None else self.rests + other.rests
        return DueColumns(self.customer_ids + other.customer_ids, np.concatenate([self.rows, other.rows]), rests)


class Rest(msgspec.Struct, array_like=True, frozen=True):
    """Second part of a value, JSON: the customer's attributes, and the probability of each recommended item."""

    attributes: Attributes
    items: dict[str, float]


read_rest = msgspec.json.Decoder(Rest).decode
_read_attributes = msgspec.json.Decoder(tuple[Attributes, msgspec.Raw]).decode


def read_attributes(rest: str) -> Attributes:
    """The attributes in the second part of a value."""
    return _read_attributes(rest)[0]


def model_number(version: str) -> int:
    """A number for the version of a model, not ``NO_MODEL``."""
    return crc32(version.encode()) or 1


def due_entries(
    histories: Sequence[CustomerHistory],
    revisions: Sequence[int],
    items: Sequence[Sequence[Item]],
    survival: NDArray[np.floating] | None,
    version: str,
) -> list[DueEntry]:
    """Entries of customers.

    Args:
        histories: Of the customers.
        revisions: Of the histories.
        items: The recommended items of each customer.
        survival: As ``ReturnSurvival`` gives it ``[customers, edges]``; None where no model gave it.
        version: Of the model that gave it.
    """
    rows = np.zeros(len(histories), HEAD)
    rows["revision"] = revisions
    if survival is not None:
        rows["model"] = model_number(version)
        rows["survival"] = survival[:, 1:]
    entries = []
    for row, (history, revision, listed) in enumerate(zip(histories, revisions, items, strict=True)):
        dates = history.purchase_dates
        rows[row]["purchases"] = len(dates)
        rows[row]["last"] = dates[-1] if dates else 0
        rows[row]["spending"] = net_spending(history)
        rest = Rest(history.attributes, {item.stock_code: round(item.probability, 3) for item in listed})
        entries.append(DueEntry(history.customer_id, revision, rows[row].tobytes() + msgspec.json.encode(rest)))
    return entries


def read_columns(index: DueIndex, *, with_rest: bool) -> DueColumns:
    """All entries of an index."""
    ids: list[str] = []
    heads: list[bytes] = []
    rests: list[str] = []
    for shard in index.shards(HEAD.itemsize, with_rest=with_rest):
        ids += shard.customer_ids
        heads.append(shard.heads)
        rests += shard.rests or ()
    return DueColumns(ids, np.frombuffer(b"".join(heads), HEAD), rests if with_rest else None)


def complete_index(
    store: Store,
    scorer: Scorer,
    index: DueIndex,
    columns: DueColumns,
    on_read: Callable[[int], object] = lambda number: None,
) -> DueColumns:
    """The columns with every customer of a store, each by the model that serves; what was missing is recorded.

    Where the index is complete, only the entries of another model are predicted. Otherwise the revisions of all
    histories are compared, and entries without a history, which expired, are deleted.

    Args:
        store: Histories.
        scorer: The model that serves. One that is no ``ReturnSurvival`` predicts nothing: its entries only have the
            recommendation and the attributes.
        index: Where new entries are recorded.
        columns: As they were read from it.
        on_read: Called with the number of customers compared or predicted since the last call.
    """
    is_valid = np.ones(len(columns.rows), np.bool_)
    if isinstance(scorer, ReturnSurvival):
        is_valid = columns.rows["model"] == model_number(scorer.version)
    if index.is_complete():
        outdated = [columns.customer_ids[row] for row in np.flatnonzero(~is_valid).tolist()]
        portions: Iterator[list[str]] = (
            outdated[start : start + PORTION] for start in range(0, len(outdated), PORTION)
        )
        result = columns.taken(is_valid) if outdated else columns
        return _with_predicted(store, scorer, index, result, portions, on_read)
    revision_of = dict(
        zip(columns.customer_ids, np.where(is_valid, columns.rows["revision"], 0.0).tolist(), strict=True)
    )
    found: set[str] = set()

    def changed() -> Iterator[list[str]]:
        for ids in store.customer_ids():
            revisions = store.revisions(ids)
            to_read = []
            for customer_id, revision in zip(ids, revisions, strict=True):
                if revision and revision_of.get(customer_id) == revision:
                    found.add(customer_id)
                elif revision:
                    to_read.append(customer_id)
            on_read(len(ids) - len(to_read))
            yield to_read

    nothing = DueColumns([], np.zeros(0, HEAD), None if columns.rests is None else [])
    predicted = _with_predicted(store, scorer, index, nothing, changed(), on_read)
    has_history = np.asarray([customer_id in found for customer_id in columns.customer_ids], np.bool_)
    known = found.union(predicted.customer_ids)
    gone = [row for row, customer_id in enumerate(columns.customer_ids) if customer_id not in known]
    index.record([DueEntry(columns.customer_ids[row], int(columns.rows["revision"][row]), b"") for row in gone])
    index.set_complete(True)
    return columns.taken(has_history).joined(predicted)


def _with_predicted(
    store: Store,
    scorer: Scorer,
    index: DueIndex,
    columns: DueColumns,
    portions: Iterator[list[str]],
    on_read: Callable[[int], object],
) -> DueColumns:
    """The columns with further customers, which are predicted and recorded."""
    ids: list[str] = []
    values: list[bytes] = []
    for portion in portions:
        if not portion:
            continue
        states = [state for state in store.customers(portion) if state is not None]
        histories = [state.history for state in states]
        if histories:
            last = store.last_recommendations([history.customer_id for history in histories])
            entries = due_entries(
                histories,
                [state.revision for state in states],
                [one.items if one else [] for one in last],
                scorer.return_survival(histories) if isinstance(scorer, ReturnSurvival) else None,
                scorer.version,
            )
            index.record(entries)
            ids += [entry.customer_id for entry in entries]
            values += [entry.value for entry in entries]
        on_read(len(portion))
    if not ids:
        return columns
    size = HEAD.itemsize
    rows = np.frombuffer(b"".join(value[:size] for value in values), HEAD)
    rests = None if columns.rests is None else [value[size:].decode() for value in values]
    return columns.joined(DueColumns(ids, rows, rests))
