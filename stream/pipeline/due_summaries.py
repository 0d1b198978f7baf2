"""A few numbers of every customer, stored, so that a list of who is due reads only the histories that changed since.

The log survival since the newest purchase, and the spending, stay the same until the history changes. So a summary is
valid as long as the revision of the history and the version of the model are those it was made with.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.domain.due import net_spending
from state.domain.history import CustomerHistory
from state.events.attributes import Attributes
from state.store.protocol import Store
from stream.pipeline.ports import DueSummaries
from training.serving.return_time.network import EDGES
from training.serving.scorer import ReturnSurvival

SHARDS = 256
"""Customers are spread over so many stored values: 4,000 in each of a million, about 600 KB."""
SCHEMA = 1


class Summaries(NamedTuple):
    """Customers in no particular order, columns ``[n]``; of one without purchases ``purchases`` is 0.

    ``revision``: of the history · ``last``: date of the newest purchase · ``spending``: as ``net_spending`` gives it ·
    ``survival``: float32 ``[n, edges]``, as ``ReturnSurvival`` gives it.
    """

    customer_ids: list[str]
    revision: NDArray[np.int64]
    last: NDArray[np.int64]
    purchases: NDArray[np.int64]
    spending: NDArray[np.float64]
    survival: NDArray[np.float32]
    attributes: list[Attributes]


class _Packed(msgspec.Struct, array_like=True):
    """A shard: the bytes are those of the arrays, little-endian."""

    schema: int
    model: str
    customer_ids: list[str]
    revision: bytes
    last: bytes
    purchases: bytes
    spending: bytes
    survival: bytes
    attributes: list[Attributes]


def read_summaries(
    store: Store,
    scorer: ReturnSurvival,
    version: str,
    stored: DueSummaries,
    on_read: Callable[[int], object] = lambda number: None,
) -> Summaries:
    """The summaries of all customers of a store; those that are new or changed are computed and stored.

    Args:
        store: Histories.
        scorer: The model that predicts the return.
        version: Of the model; summaries of another are computed again.
        stored: What was stored before.
        on_read: Called with the number of customers read since the last call.
    """
    known = joined([each for shard in stored.load(SHARDS) if (each := unpack(shard, version)) is not None])
    row_of = {customer_id: row for row, customer_id in enumerate(known.customer_ids)}
    rows: list[int] = []
    computed: list[Summaries] = []
    for ids in store.customer_ids():
        revisions = store.revisions(ids)
        changed = []
        for customer_id, revision in zip(ids, revisions, strict=True):
            row = row_of.get(customer_id)
            if row is not None and known.revision[row] == revision:
                rows.append(row)
            elif revision:
                changed.append(customer_id)
        if changed:
            computed.append(_computed(store, scorer, changed))
        on_read(len(ids))
    new = joined(computed)
    result = joined([taken(known, rows), new])
    changed_shards = {shard_of(customer_id) for customer_id in new.customer_ids}
    if changed_shards:
        stored.save(_packed_shards(result, version, changed_shards))
    return result


def _computed(store: Store, scorer: ReturnSurvival, customer_ids: Sequence[str]) -> Summaries:
    states = [state for state in store.customers(customer_ids) if state is not None]
    histories = [state.history for state in states]
    dates = [history.purchase_dates for history in histories]
    return Summaries(
        [history.customer_id for history in histories],
        np.asarray([state.revision for state in states], np.int64),
        np.asarray([each[-1] if each else 0 for each in dates], np.int64),
        np.asarray([len(each) for each in dates], np.int64),
        np.asarray([net_spending(history) for history in histories], np.float64),
        _survival(scorer, histories),
        [history.attributes for history in histories],
    )


def _survival(scorer: ReturnSurvival, histories: Sequence[CustomerHistory]) -> NDArray[np.float32]:
    if not histories:
        return np.zeros((0, len(EDGES)), np.float32)
    return scorer.return_survival(histories).astype(np.float32)


def shard_of(customer_id: str) -> int:
    """The shard of a customer."""
    return crc32(customer_id.encode()) % SHARDS


def joined(parts: Sequence[Summaries]) -> Summaries:
    """Several summaries as one."""
    return Summaries(
        [customer_id for part in parts for customer_id in part.customer_ids],
        np.concatenate([np.zeros(0, np.int64), *(part.revision for part in parts)]),
        np.concatenate([np.zeros(0, np.int64), *(part.last for part in parts)]),
        np.concatenate([np.zeros(0, np.int64), *(part.purchases for part in parts)]),
        np.concatenate([np.zeros(0, np.float64), *(part.spending for part in parts)]),
        np.concatenate([np.zeros((0, len(EDGES)), np.float32), *(part.survival for part in parts)]),
        [attributes for part in parts for attributes in part.attributes],
    )


def taken(summaries: Summaries, rows: Sequence[int]) -> Summaries:
    """Some rows of summaries."""
    at = np.asarray(rows, np.int64)
    return Summaries(
        [summaries.customer_ids[row] for row in rows],
        summaries.revision[at],
        summaries.last[at],
        summaries.purchases[at],
        summaries.spending[at],
        summaries.survival[at],
        [summaries.attributes[row] for row in rows],
    )


def _packed_shards(summaries: Summaries, version: str, shards: set[int]) -> dict[int, bytes]:
    shard = [shard_of(customer_id) for customer_id in summaries.customer_ids]
    rows: dict[int, list[int]] = {each: [] for each in shards}
    for row, each in enumerate(shard):
        if each in rows:
            rows[each].append(row)
    return {each: pack(taken(summaries, found), version) for each, found in rows.items()}


def pack(summaries: Summaries, version: str) -> bytes:
    """A shard as it is stored."""
    return msgspec.msgpack.encode(
        _Packed(
            SCHEMA,
            version,
            summaries.customer_ids,
            summaries.revision.astype("<i8").tobytes(),
            summaries.last.astype("<i8").tobytes(),
            summaries.purchases.astype("<i8").tobytes(),
            summaries.spending.astype("<f8").tobytes(),
            summaries.survival.astype("<f4").tobytes(),
            summaries.attributes,
        )
    )


def unpack(shard: bytes | None, version: str) -> Summaries | None:
    """A stored shard; None where there is none, or one of another model or schema, or one that cannot be read."""
    if shard is None:
        return None
    try:
        packed = msgspec.msgpack.decode(shard, type=_Packed)
        if (packed.schema, packed.model) != (SCHEMA, version):
            return None
        n = len(packed.customer_ids)
        if len(packed.attributes) != n:
            return None
        return Summaries(
            packed.customer_ids,
            np.frombuffer(packed.revision, "<i8").reshape(n),
            np.frombuffer(packed.last, "<i8").reshape(n),
            np.frombuffer(packed.purchases, "<i8").reshape(n),
            np.frombuffer(packed.spending, "<f8").reshape(n),
            np.frombuffer(packed.survival, "<f4").reshape(n, len(EDGES)),
            packed.attributes,
        )
    except (msgspec.DecodeError, ValueError):
        return None
