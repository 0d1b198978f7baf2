"""Orders the customers who are due, by the index; what was read of it serves for some seconds."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from state.errors import StateError
from state.store.protocol import DueIndex, Store
from stream.pipeline.due import DueOrder, DueQuery, due_order, read_order
from stream.pipeline.due_index import DueColumns, complete_index, read_columns
from stream.pipeline.due_items import item_order
from training.serving.scorer import ReturnSurvival, Scorer

FRESH_S = 10.0
"""How long what was read serves at least, so that the pages of a list belong together and cost little."""
FRESH_FACTOR = 3.0
"""And at least so many times as long as the reading took, so that reading never takes most of the time."""


class OrderQuestion(NamedTuple):
    """Who is due, or who is due for an item; ``version`` is that of the model that serves."""

    query: DueQuery
    version: str
    stock_code: str | None = None


class ReadOrder(NamedTuple):
    """An order, and a digest of the customers that it was made from."""

    order: DueOrder
    digest: str


class NotReady(NamedTuple):
    """The order takes longer; ``read``: customers read until now. It is made even then."""

    read: int


class _Snapshot(NamedTuple):
    columns: DueColumns
    version: str
    digest: str
    expires: float


class DueReader:
    """Makes one order at a time, in a separate thread; to be asked by one thread.

    Args:
        open_store: Opens the store; called again after an error.
        open_index: Opens the index.
        scorer: Returns the scorer of a version.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        open_index: Callable[[], DueIndex],
        scorer: Callable[[str], Scorer],
    ) -> None:
        self._open_store = open_store
        self._open_index = open_index
        self._scorer = scorer
        self._opened: tuple[Store, DueIndex] | None = None
        self._thread = ThreadPoolExecutor(1, "due-reader")
        self._job: tuple[bytes, Future[ReadOrder]] | None = None
        self._snapshot: _Snapshot | None = None
        self._read = 0

    def ask(self, question: OrderQuestion, wait_s: float) -> ReadOrder | NotReady:
        """The answer, or ``NotReady`` after some seconds.

        Raises:
            StoreUnavailable, StoreRefused: The store does not answer, or refuses.
        """
        key = msgspec.json.encode(question)
        if self._job is None or (self._job[1].done() and self._job[0] != key):
            self._job = key, self._thread.submit(self._make, question)
        asked, job = self._job
        try:
            made = job.result(wait_s)
        except TimeoutError:
            return NotReady(self._read)
        except Exception:
            self._job = None
            raise
        self._job = None
        return made if asked == key else self.ask(question, wait_s)

    def forget(self) -> None:
        """Release the memory of what was read."""
        self._snapshot = None

    def _make(self, question: OrderQuestion) -> ReadOrder:
        self._read = 0
        try:
            if self._opened is None:
                self._opened = self._open_store(), self._open_index()
            return self._order(*self._opened, question)
        except StateError:
            opened, self._opened = self._opened, None
            if opened is not None:
                opened[0].close()
            raise

    def _order(self, store: Store, index: DueIndex, question: OrderQuestion) -> ReadOrder:
        query, scorer = question.query, self._scorer(question.version)
        if question.stock_code is None and not isinstance(scorer, ReturnSurvival):
            order = read_order(store, scorer, query, self._count)
            return ReadOrder(order, _digest(msgspec.json.encode(order.customer_ids), order.value.tobytes()))
        with_rest = question.stock_code is not None or bool(query.segment)
        snapshot = self._columns(store, index, scorer, with_rest=with_rest)
        if question.stock_code is None:
            return ReadOrder(due_order(snapshot.columns, query), snapshot.digest)
        return ReadOrder(item_order(question.stock_code, snapshot.columns, query, store, scorer), snapshot.digest)

    def _columns(self, store: Store, index: DueIndex, scorer: Scorer, *, with_rest: bool) -> _Snapshot:
        begin, last = time.monotonic(), self._snapshot
        if (
            last is not None
            and last.version == scorer.version
            and begin < last.expires
            and (last.columns.rests is not None or not with_rest)
        ):
            return last
        self._snapshot = None  # the memory of both at once would be twice as much
        columns = complete_index(store, scorer, index, read_columns(index, with_rest=with_rest), self._count)
        digest = _digest(columns.rows.tobytes())
        end = time.monotonic()
        expires = end + max(FRESH_S, FRESH_FACTOR * (end - begin))
        self._snapshot = _Snapshot(columns, scorer.version, digest, expires)
        return self._snapshot

    def _count(self, number: int) -> None:
        self._read += number


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
