"""A processor with in-memory services, a fixed clock, and a scorer that can be made to fail."""

import json
import threading
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from state.domain.history import CustomerHistory, baskets
from state.domain.identities import Identities
from state.domain.rules import Merchandising
from state.settings import Settings, load_settings
from state.store.identities import IdentityStore
from state.store.memory import MemoryStore
from state.store.protocol import DueIndex, Store
from stream.messages import Incoming, IncomingHeaders, Message
from stream.monitoring import Metrics
from stream.pipeline.erasure import NO_TRACES, Traces
from stream.pipeline.memory_publisher import MemoryPublisher
from stream.pipeline.outages import Outages
from stream.pipeline.ports import Publisher
from stream.pipeline.processor import Processor
from stream.pipeline.retry import RetryPolicy
from stream.pipeline.settling import Settling
from stream.pipeline.tracing import Tracing
from training.features.item_table import ItemTable
from training.serving.scorer import Candidate, Prediction

CLOCK = 1_323_435_000.25  # 2011-12-09T12:50:00.25Z


class CountingScorer:
    """Ranks a customer's items by the number of baskets, then all others by demand; raises where ``fails`` says so."""

    name = "counting"

    def __init__(
        self, version: str = "1", fails: Callable[[Sequence[CustomerHistory]], bool] = lambda _: False
    ) -> None:
        self.version = version
        self.fails = fails
        self.calls: list[list[str]] = []

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        self.calls.append([history.customer_id for history in histories])
        if self.fails(histories):
            raise RuntimeError("the test lets the scorer fail")
        return [self._predict_one(history, items, now, k) for history in histories]

    def _predict_one(self, history: CustomerHistory, items: ItemTable, now: int, k: int) -> Prediction:
        counts: dict[str, float] = dict(zip(items.codes, (items.demand(now)[:, 2] / 1_000).tolist(), strict=True))
        for basket in baskets(history):
            for code in basket.items:
                counts[code] = counts.get(code, 0.0) + 1
        best = sorted(counts, key=lambda code: (-counts[code], code))[:k]
        return Prediction(
            [Candidate(code, counts[code] / (1 + counts[code])) for code in best], (0.1, 0.2, 0.5, 0.7, 0.8)
        )


class ProcessorHarness:
    """A processor with everything it needs, and methods to feed it and to read what it published."""

    def __init__(
        self,
        *,
        store: Store | None = None,
        publisher: Publisher | None = None,
        scorer: CountingScorer | None = None,
        fallback: CountingScorer | None = None,
        merchandising: Merchandising | None = None,
        tracing: Tracing | None = None,
        due_index: DueIndex | None = None,
        identities: IdentityStore | None = None,
        read_log: Callable[[], Identities] = Identities,
        settling: Settling | None = None,
        traces: Traces = NO_TRACES,
        **settings: str,
    ) -> None:
        self.settings: Settings = load_settings(
            {f"NEXTBASKET_{name.upper()}": value for name, value in settings.items()}
        )
        self.store = store or MemoryStore(self.settings)
        self.published = MemoryPublisher()
        self.scorer = scorer or CountingScorer()
        self.stop = threading.Event()
        self.metrics = Metrics()
        self.merchandising = merchandising
        self.clock = CLOCK
        self.processor = Processor(
            settings=self.settings,
            store=self.store,
            publisher=publisher or self.published,
            scorer=lambda: self.scorer,
            fallback=fallback or CountingScorer("fallback"),
            retry=RetryPolicy(self.stop, Random(1), Outages(self.metrics.outage)),
            metrics=self.metrics,
            merchandising=lambda: self.merchandising,
            tracing=tracing,
            due_index=due_index,
            identities=identities,
            read_log=read_log,
            settling=settling,
            traces=traces,
            clock=lambda: self.clock,
        )
        self.offset = 0
        self.stamped: float | None = None
        """The timestamp of the next records, where it is not half a second before the clock."""

    def process(self, *events: bytes | dict[str, Any] | None) -> None:
        """Process events as one batch, at the next offsets of partition 0."""
        self.processor.process([self.incoming(event) for event in events])

    def incoming(
        self, event: bytes | dict[str, Any] | None, key: bytes | None = b"key", headers: IncomingHeaders = ()
    ) -> Incoming:
        """The record of an event, at the next offset."""
        self.offset += 1
        value = json.dumps(event).encode() if isinstance(event, dict) else event
        return Incoming(value, key, "invoices", 0, self.offset - 1, self.stamped or self.clock - 0.5, headers)

    def messages(self, topic: str) -> list[Message]:
        """The messages published to a topic."""
        return [message for message in self.published.messages if message.topic == topic]

    def recommendations(self) -> list[dict[str, Any]]:
        """The published recommendations, in order."""
        return [json.loads(message.value or b"") for message in self.messages(self.settings.topics.recommendations)]

    def scores(self) -> list[dict[str, Any]]:
        """The published scores, in order."""
        return [json.loads(message.value or b"") for message in self.messages(self.settings.topics.scores)]

    def dead_letters(self) -> list[Message]:
        """The published dead letters, in order."""
        return self.messages(self.settings.topics.dead_letter)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric, 0 where it has none."""
        return self.metrics.registry.get_sample_value(f"nextbasket_{name}", labels) or 0.0


def invoice(
    number: str, customer: str | None, date: str, *codes: str, quantity: float = 1, **more: Any
) -> dict[str, Any]:
    """An invoice event with one line a stock code, at price 1."""
    lines = [
        {"stock_code": code, "description": f"ITEM {code}", "quantity": quantity, "unit_price": 1.0} for code in codes
    ]
    return {"invoice_no": number, "customer_id": customer, "invoice_date": date, "lines": lines, **more}
