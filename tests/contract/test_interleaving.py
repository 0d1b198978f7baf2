"""Two workers on one Redis, whose steps take turns as hypothesis draws them, end as the pure functions do.

A customer's events come through two keys, hence to both workers, in any order, twice, and under ids that are merged in
between. Before each step of a worker the other one may process a batch of its own, or the worker is killed, and a new
one processes its batch again.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.domain.history import CustomerHistory, add_invoice, canonical_json
from state.domain.identities import Identities
from state.domain.recommendation import Recommendation
from state.events.invoice import Invoice
from state.events.wire import Decoder
from state.settings import Settings
from state.store.memory import MemoryStore
from state.store.redis.identities import RedisIdentities
from state.store.redis.store import RedisStore
from tests.contract.conftest import RedisStores
from tests.contract.test_order import EXAMPLES, bounded, same_items
from tests.services.choice import Service
from tests.unit.stream.harness import ProcessorHarness

CUSTOMERS = ["a", "b", "c"]
WINDOW = 100


class Killed(BaseException):
    """A worker ends in the middle of a batch."""


class Worker:
    """A worker whose every step on Redis can be preceded by something else."""

    def __init__(self, stores: RedisStores, namespace: str, before: Callable[["Worker", str], None]) -> None:
        self._stores, self._namespace, self._before = stores, namespace, before
        self.published: list[Any] = []
        self._harness = self._start()

    def _start(self) -> ProcessorHarness:
        store = self._stores(namespace=self._namespace)
        identities = RedisIdentities(store_settings(self._stores.url, self._namespace), store._client)
        harness = ProcessorHarness(store=store, identities=identities, max_clock_difference_seconds="0")
        outboxes = store._writer._outboxes
        for owner, name in (
            (store._histories, "_load"),
            (store._writer, "commit"),
            (store._writer, "confirm"),
            (outboxes, "_apply"),
            (outboxes, "_trim"),
            (store, "remove_merged"),
            (store, "remove"),
            (identities, "lookup"),
            (identities, "alias"),
        ):
            self._intercept(owner, name)
        return harness

    def _intercept(self, owner: Any, name: str) -> None:
        step = getattr(owner, name)

        def intercepted(*arguments: Any, **options: Any) -> Any:
            self._before(self, name)
            return step(*arguments, **options)

        setattr(owner, name, intercepted)

    def process(self, batch: Sequence[dict[str, Any]]) -> None:
        """Process a batch to its end; a worker that is killed is followed by another one."""
        while True:
            try:
                self._harness.process(*batch)
            except Killed:
                self.published += self._harness.published.messages
                self._harness = self._start()
            else:
                return

    def recommendations(self) -> Iterator[Recommendation]:
        """What this worker and those before it published, without tombstones."""
        for message in (*self.published, *self._harness.published.messages):
            if message.topic.endswith("recommendations") and message.value:
                yield msgspec.json.decode(message.value, type=Recommendation)


class Turns:
    """Draws what happens before each step: mostly nothing, the batch of another worker, or a kill."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self._busy = False
        self._kills = 3
        self.waiting: dict[int, list[list[dict[str, Any]]]] = {}
        self.workers: list[Worker] = []

    def before(self, worker: Worker, name: str) -> None:
        if not self.workers:
            return
        match self._data.draw(st.sampled_from(["", "", "", "other", "other", "kill"]), label=f"before {name}"):
            case "other" if not self._busy:
                other = 1 - self.workers.index(worker)
                if self.waiting[other]:
                    self._busy = True
                    try:
                        self.workers[other].process(self.waiting[other].pop(0))
                    finally:
                        self._busy = False
            case "kill" if self._kills:
                self._kills -= 1
                raise Killed
            case _:
                pass

    def run(self) -> None:
        """Let both process all their batches."""
        while any(self.waiting.values()):
            number = self._data.draw(st.sampled_from([each for each, some in self.waiting.items() if some]))
            self.workers[number].process(self.waiting[number].pop(0))


def store_settings(url: str, namespace: str) -> Settings:
    return Settings(redis_url=url, namespace=namespace)


@pytest.fixture(params=["redis", "redis_cluster"])
def stores(request: pytest.FixtureRequest) -> Iterator[RedisStores]:
    service = request.getfixturevalue(request.param)
    found = RedisStores(service.address if isinstance(service, Service) else service)
    yield found
    found.close()


LINES = st.builds(
    lambda code, quantity, line_id: {
        "stock_code": code,
        "quantity": quantity,
        "unit_price": 1.0,
        **({"line_id": line_id} if line_id else {}),
    },
    st.sampled_from(["A", "B", "C"]),
    st.sampled_from([1, 2, -1]),
    st.sampled_from(["", "", "1"]),
)
INVOICES = st.builds(
    lambda number, customer, day, lines: {
        "invoice_no": number,
        "customer_id": customer,
        "invoice_date": f"2011-06-{day:02}T10:00:00Z",
        "lines": lines,
    },
    st.sampled_from(["1", "2", "3"]),
    st.sampled_from(CUSTOMERS),
    st.sampled_from([1, 2, 20]),
    st.lists(LINES, min_size=1, max_size=3),
)
MERGES = st.sampled_from(["ab", "bc", "ba", "ac"]).map(
    lambda pair: {"type": "customer.merged", "version": 1, "customer_id": pair[0], "into": pair[1]}
)


@settings(bounded, max_examples=int(EXAMPLES or 20))  # slow ones: every step asks what comes before it
@given(data=st.data())
def test_two_workers_end_as_the_pure_functions_whatever_their_turns(stores: RedisStores, data: st.DataObject) -> None:
    events = data.draw(st.lists(INVOICES | INVOICES | INVOICES | MERGES, min_size=2, max_size=9), label="events")
    store = stores()
    RedisIdentities(store_settings(stores.url, stores.namespace), store._client).restore(Identities())
    turns = Turns(data)
    for number in range(2):
        taken = [event for event in events if data.draw(st.integers(0, 2), label="whose") != number]
        arriving = data.draw(st.permutations(taken), label=f"to worker {number}")
        cuts = sorted(data.draw(st.lists(st.integers(0, len(arriving)), max_size=3)))
        parts = zip([0, *cuts], [*cuts, len(arriving)], strict=True)
        turns.waiting[number] = [arriving[begin:end] for begin, end in parts if begin < end]
    sent = [event for some in turns.waiting.values() for batch in some for event in batch]
    workers = [Worker(stores, stores.namespace, turns.before) for _ in range(2)]
    turns.workers += workers
    turns.run()
    known = RedisIdentities(store_settings(stores.url, stores.namespace), store._client).all()
    assert known is not None
    _require_state(store, known, sent)
    _require_recommendations(store, workers)


def _require_state(store: RedisStore, known: Identities, sent: Sequence[dict[str, Any]]) -> None:
    """Histories and items are those of the events, each under the id that it has by now."""
    decoder = Decoder(Settings())
    invoices: list[Invoice] = []
    for event in sent:
        if "invoice_no" in event:
            resolved = known.resolve(decoder.decode(msgspec.json.encode(event), now=2_000_000_000))
            assert resolved is not None
            invoices.append(resolved)
    expected: dict[str, CustomerHistory] = {}
    for invoice in invoices:
        customer = str(invoice.customer_id)
        expected[customer] = add_invoice(expected.get(customer) or CustomerHistory(customer), invoice, WINDOW).history
    found = {history.customer_id: history for history in store.histories()}
    assert {customer: canonical_json(history) for customer, history in found.items()} == {
        customer: canonical_json(history) for customer, history in expected.items()
    }
    memory = MemoryStore(Settings())
    memory.apply(invoices, clock_ms=0)
    assert same_items(store.items().states, memory.items().states)


def _require_recommendations(store: RedisStore, workers: Sequence[Worker]) -> None:
    """Redis has the published recommendation with the highest revision of each customer, and of nobody else."""
    published: dict[str, dict[int, list[Recommendation]]] = {}
    for worker in workers:
        for one in worker.recommendations():
            published.setdefault(one.customer_id, {}).setdefault(one.revision, []).append(one)
    stored = {one.customer_id: one for one in store.recommendations()}
    customers = {history.customer_id for history in store.histories()}
    assert set(stored) <= customers
    for customer in customers & set(published):
        newest = max(published[customer])
        assert stored[customer] in published[customer][newest]
    revisions = store.revisions(sorted(stored))
    for customer, revision in zip(sorted(stored), revisions, strict=True):
        assert stored[customer].revision <= revision
