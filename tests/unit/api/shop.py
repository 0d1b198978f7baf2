"""An API over a store in memory, with the clock and the scorer of the processor's tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import msgspec

from state.domain.rules import Merchandising
from state.events.wire import Decoder
from state.settings import Settings, load_settings
from state.store.identities import IdentityStore, MemoryIdentities, load_pseudonyms
from state.store.memory import MemoryStore
from state.store.protocol import Store
from stream.api.access import Access, parse_rate
from stream.api.app import create_app
from stream.api.due_lists import DueLists
from stream.api.due_reader import DueReader
from stream.api.etags import Versions
from stream.api.ingestion import Ingestion
from stream.api.keys import load_keys
from stream.api.known_customers import KnownCustomers
from stream.api.letters import DeadLetterAccess
from stream.api.lookups import Lookups
from stream.api.micro_batches import MicroBatcher
from stream.api.ranking import Ranker
from stream.api.revisions import RevisionReader
from stream.api.segments import NO_SEGMENTS
from stream.api.services import Services
from stream.health import Health
from stream.monitoring import Metrics
from stream.pipeline.memory_publisher import MemoryPublisher
from stream.pipeline.ports import Publisher
from tests.unit.stream.due_index import MemoryDueIndex
from tests.unit.stream.harness import CLOCK, CountingScorer, invoice
from training.registry import Registry

INVOICES = [
    invoice("1", "anna", "2011-12-01T10:00:00Z", "TEA", "CUP"),
    invoice("2", "anna", "2011-12-05T10:00:00Z", "TEA"),
    invoice("3", "ben", "2011-12-08T10:00:00Z", "LAMP", "CUP"),
    invoice("4", "cleo", "2011-12-09T12:00:00Z", "LAMP", "MAT"),
]


class Shop:
    """An API over invoices; ``clock``, ``due_clock``, ``scorer`` and ``store`` can be changed between requests."""

    def __init__(self, store: Store | None = None, identities: IdentityStore | None = None, **settings: str) -> None:
        self.settings: Settings = load_settings(
            {f"NEXTBASKET_{name.upper()}": value for name, value in settings.items()}
        )
        self.identities = MemoryIdentities() if identities is None else identities
        self.store = store or MemoryStore(self.settings, self.identities)
        self.scorer = CountingScorer()
        self.metrics = Metrics()
        self.health = Health()
        self.segments = NO_SEGMENTS
        self.merchandising = Merchandising()
        self.due_index = MemoryDueIndex()
        self.registry = Registry("memory://no-model")
        self.letters: DeadLetterAccess | None = None
        self.lag: Callable[[], dict[int, int]] | None = None
        self.refresh: dict[int, bytes] = {}
        self.clock = CLOCK
        self.due_clock = 0.0
        self.published = MemoryPublisher()
        self.publisher: Publisher = self.published
        self.apply(*INVOICES)

    def apply(self, *events: dict[str, object]) -> None:
        """Let the store take invoices, as a worker would."""
        decoder = Decoder(self.settings)
        invoices = [decoder.decode(msgspec.json.encode(event), now=int(self.clock)) for event in events]
        self.store.apply(invoices, clock_ms=int(self.clock * 1000))

    def services(self) -> Services:
        """The services of a process that starts now."""
        ranker = Ranker(
            settings=self.settings,
            open_store=lambda: self.store,
            scorer=lambda: self.scorer,
            fallback=CountingScorer("fallback"),
            metrics=self.metrics,
            merchandising=lambda: self.merchandising,
            segments=lambda: self.segments,
            clock=lambda: self.clock,
        )
        return Services(
            settings=self.settings,
            access=Access(load_keys(self.settings), parse_rate(self.settings.api_rate)),
            metrics=self.metrics,
            health=self.health,
            ranking=MicroBatcher("ranking", ranker.answer, max_batch=8),
            revisions=MicroBatcher("revisions", RevisionReader(lambda: self.store).answer, max_batch=8),
            lookups=MicroBatcher("lookups", Lookups(lambda: self.store).answer, max_batch=8),
            due=MicroBatcher("due", self._due_lists(ranker.versions).answer, max_batch=1, timeout_s=10.0),
            feed=None,
            scorer=lambda: self.scorer,
            merchandising=lambda: self.merchandising,
            stock_code=str.strip,
            ingestion=MicroBatcher("ingestion", self.ingestion().answer, max_batch=8),
            versions=ranker.versions,
            registry=self.registry,
            letters=self.letters,
            lag=self.lag,
            refresh=lambda: self.refresh,
            can_erase=load_pseudonyms(self.settings) is not None,
        )

    def _due_lists(self, versions: Callable[[], Versions]) -> DueLists:
        return DueLists(
            open_store=lambda: self.store,
            orders=DueReader(lambda: self.store, lambda: self.due_index, lambda _: self.scorer),
            scorer=lambda: self.scorer,
            merchandising=lambda: self.merchandising,
            versions=versions,
            top_k=self.settings.top_k,
            clock=lambda: self.clock,
            monotonic=lambda: self.due_clock,
        )

    def ingestion(self) -> Ingestion:
        """Takes invoices for ``publisher``."""
        return Ingestion(
            self.settings,
            lambda: self.publisher,
            lambda: self.publisher,
            lambda: self.clock,
            lookup=KnownCustomers(lambda: self.identities, lambda: self.clock).lookup,
            count_erased=self.metrics.erased_events,
        )

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric, 0 where it has none."""
        return self.metrics.registry.get_sample_value(f"nextbasket_{name}", labels) or 0.0

    @asynccontextmanager
    async def client(self, host: str = "localhost") -> AsyncIterator[httpx.AsyncClient]:
        """A client of the running API."""
        services = self.services()
        batchers = (services.ranking, services.revisions, services.lookups, services.due, services.ingestion)
        for batcher in batchers:
            batcher.start()
        try:
            transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                yield client
        finally:
            for batcher in batchers:
                batcher.stop()
