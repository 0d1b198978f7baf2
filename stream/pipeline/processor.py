"""The processor: decodes a batch of records, updates the store, recommends, scores, publishes and confirms.

Every effect is idempotent: a batch may be processed again, in whole or in part, by this worker or another one, with the
same result. ``process`` returns when every effect is confirmed; while Redis or Kafka is unavailable it retries.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, TypeVar

import msgspec

from state.domain.identities import Identities
from state.domain.receipt import Finding
from state.domain.recommendation import Item, Recommendation, Trigger
from state.domain.rules import Merchandising
from state.errors import AccessRefused, CustomerRefused, StoreUnavailable
from state.events.dates import to_iso
from state.events.shop_dialect import shop_dialect
from state.settings import Settings
from state.store.identities import IdentityStore, MemoryIdentities
from state.store.protocol import CustomerUpdate, DueEntry, DueIndex, Store, merge_updates
from stream.errors import ClockDiffers
from stream.messages import Headers, Incoming, Message
from stream.monitoring import Metrics
from stream.pipeline.batch_decoder import BatchDecoder
from stream.pipeline.clock_check import ClockCheck
from stream.pipeline.confirmed_publisher import ConfirmedPublisher
from stream.pipeline.customer_changes import CustomerChanges, CustomerPlan
from stream.pipeline.dead_letters import dead_letter
from stream.pipeline.decoded import DecodedChange, DecodedEvent, RejectedEvent
from stream.pipeline.erasure import NO_TRACES, Eraser, Traces
from stream.pipeline.event_headers import (
    SCORE,
    event_headers,
    event_source,
    score_event_id,
)
from stream.pipeline.item_cache import ItemCache
from stream.pipeline.ports import LetterSpool, LetterTopic, Publisher
from stream.pipeline.recent_writes import RecentWrites
from stream.pipeline.recommendations import is_unchanged
from stream.pipeline.recommender import Recommender, recommendation_message
from stream.pipeline.resilient_scorer import ResilientScorer
from stream.pipeline.retry import RetryPolicy
from stream.pipeline.scores import scores
from stream.pipeline.settling import Settling
from stream.pipeline.tracing import BatchTrace, Tracing
from training.serving.scorer import Scorer

logger = logging.getLogger(__name__)

T = TypeVar("T")


class RecommendationBatch(NamedTuple):
    """The recommendations to publish, each with the trace of its trigger, and those that are not published again.

    ``traces`` has the headers for each of ``changed``, ``unchanged`` is (customer, revision). ``due`` returns the
    entries of all of them for the index of who is due.
    """

    changed: list[Recommendation]
    traces: list[Headers]
    unchanged: list[tuple[str, int]]
    due: Callable[[], list[DueEntry]] = list


class Processor:
    """Processes batches, one after the other, in one thread.

    Args:
        settings: Topics, bounds, sizes.
        store: Histories, items, last recommendations.
        publisher: Where messages go.
        scorer: Returns the scorer that serves now; called once a batch.
        fallback: Predicts for customers that the scorer fails for.
        retry: How to wait for Redis and Kafka, and what ends the waiting.
        metrics: Counters and timings.
        merchandising: Returns the catalogue and the rules as of now, None where there are none.
        letter_topic: Knows whether the dead-letter topic can take letters.
        spool: Where dead letters are set aside while it cannot; without it they are waited for.
        due_index: Where the numbers of each customer for lists of who is due are recorded; None: nowhere.
        identities: The lists of merged and erased customers; without it they are in memory.
        read_log: Reads both lists from Kafka, where Redis lost them.
        traces: What removes a customer elsewhere than in the store.
        remains: What remains of an erased customer in Kafka, and until when.
        tracing: Records the batches, or passes traces on.
        written: Where the revisions of the changed histories are recorded.
        settling: Who is answered once their lines have settled; None: nobody waits.
        clock: Seconds since 1970; used for ``generated_at``, revisions and the check for dates in the future.

    Attributes:
        items: The item table; for the thread that processes.
        recommender: Ranks; for the thread that processes.
        publisher: Publishes; for the thread that processes.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        publisher: Publisher,
        scorer: Callable[[], Scorer],
        fallback: Scorer,
        retry: RetryPolicy,
        metrics: Metrics,
        merchandising: Callable[[], Merchandising | None] = lambda: None,
        letter_topic: LetterTopic | None = None,
        spool: LetterSpool | None = None,
        due_index: DueIndex | None = None,
        identities: IdentityStore | None = None,
        read_log: Callable[[], Identities] = Identities,
        traces: Traces = NO_TRACES,
        remains: Callable[[], Sequence[Finding]] = tuple,
        tracing: Tracing | None = None,
        written: RecentWrites | None = None,
        settling: Settling | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._topics = settings.topics
        self._source = event_source(settings.namespace)
        self._store = store
        self.publisher = ConfirmedPublisher(
            publisher, retry, dead_letter_topic=settings.topics.dead_letter, letter_topic=letter_topic, spool=spool
        )
        dialect = shop_dialect(settings)
        self.items = ItemCache(store, dialect)
        self.recommender = Recommender(
            settings=settings,
            items=self.items,
            scorer=ResilientScorer(scorer, fallback, metrics),
            merchandising=merchandising,
            metrics=metrics,
            clock=clock,
        )
        self._retry = retry
        self._metrics = metrics
        self._due_index = due_index
        self._tracing = tracing or Tracing()
        self._settling = settling or Settling(0.0)
        self._written = written or RecentWrites()
        self._lost_data = False
        self._clock = clock
        self._clock_check = ClockCheck(
            clock,
            lambda: self._redis(store.clock),
            settings.max_clock_difference_seconds,
            metrics.clock_difference,
        )
        self._decoder = BatchDecoder(settings, self._clock_check, metrics, clock)
        self._encode = msgspec.json.Encoder().encode
        identities = MemoryIdentities() if identities is None else identities
        self._customers = CustomerChanges(
            settings=settings,
            store=store,
            identities=identities,
            eraser=Eraser(
                store=store,
                identities=identities,
                publish=self.publisher.publish,
                customers_topic=self._topics.customers,
                recommendations_topic=self._topics.recommendations,
                traces=traces,
                remains=remains,
            ),
            publish=self.publisher.publish,
            read_log=read_log,
            retry=retry,
            metrics=metrics,
            clock=clock,
        )

    def store_lost_data(self) -> None:
        """Read all items again with the next batch, on new connections; may be called from any thread.

        After a failover, an open connection may lead to the old primary, which takes writes until it is told otherwise.
        """
        self._lost_data = True
        self.items.store_lost_data()

    def clock_problem(self) -> str | None:
        """Why the clock of this machine is not trusted, or None; may be called from any thread."""
        return self._clock_check.problem()

    def process(self, batch: Sequence[Incoming]) -> None:
        """Process a batch to its end; waits while the clock of this machine and its witnesses differ.

        Raises:
            Stopped: The worker is stopping and Redis or Kafka is unavailable; the batch must not be acknowledged.
            StoreRefused: The store cannot be used at all, whatever the event.
        """
        if batch:
            self._clock_check.add_timestamps([record.timestamp for record in batch])
            self._decoder.look_at_headers(batch)
            with self._tracing.batch(batch) as trace:
                with self._stage("decode", trace, len(batch)):
                    clock, events, changes, rejected = self._retry.call(
                        "clock", lambda: self._decoder.decode(batch), ClockDiffers
                    )
                self._process_to_the_end(events, changes, rejected, clock, trace)
            self._metrics.batch(len(batch))
            self._count_latency(one.timestamp for one in batch if not self._settling.is_waiting(one))
        self._answer_settled()

    def _answer_settled(self) -> None:
        """Answer the customers whose lines have settled: from their histories as they are now."""
        settled = self._settling.due()
        if not settled.events:
            return
        self._retry.call("clock", self._clock_check.require_server, ClockDiffers)
        with self._tracing.batch([event.record for event in settled.events]) as trace:
            self._process_to_the_end(settled.events, [], [], self._clock(), trace, settled=True)
        self._count_latency(settled.timestamps)

    def _process_to_the_end(
        self,
        events: list[DecodedEvent],
        changes: Sequence[DecodedChange],
        rejected: list[RejectedEvent],
        clock: float,
        trace: BatchTrace,
        *,
        settled: bool = False,
    ) -> None:
        sent = unchanged = 0
        first = True
        while events or changes or rejected:
            recommendations, events, changes = self._process(
                events, changes, rejected, clock, trace, settled=settled, first=first
            )
            sent, unchanged = sent + len(recommendations.changed), unchanged + len(recommendations.unchanged)
            rejected, settled, first = [], False, False
        trace.count("recommendations", sent)
        self._metrics.recommendations("sent", sent)
        self._metrics.recommendations("unchanged", unchanged)

    @contextmanager
    def _stage(self, name: str, trace: BatchTrace, events: int) -> Iterator[None]:
        """Times a stage of a batch of so many events, and traces it."""
        with self._metrics.stage(name, events), trace.stage(name):
            yield

    def _process(
        self,
        decoded: list[DecodedEvent],
        changes: Sequence[DecodedChange],
        rejected: list[RejectedEvent],
        clock: float,
        trace: BatchTrace,
        *,
        settled: bool,
        first: bool,
    ) -> tuple[RecommendationBatch, list[DecodedEvent], list[DecodedChange]]:
        """Process events to their end; returns those that are to be processed again as well.

        ``settled``: they were applied before, and are answered now. ``first``: they are not processed again.
        """
        events = len(decoded) + len(changes) + len(rejected)

        def stage(name: str) -> AbstractContextManager[object]:
            return self._stage(name, trace, events)

        clock_iso = to_iso(int(clock))
        with stage("identify"):
            plan = self._customers.begin(decoded, changes, rejected, may_wait=first)
        with stage("apply"):
            if settled and not plan.moves:
                updates = answered = self._current(plan.events)
            else:
                updates = self._apply(plan.events, rejected, int(clock * 1000))
                answered = updates if settled else self._without_waiting(updates, plan)
        with stage("answer"):
            recommendations = self._recommend(answered, plan.events, clock_iso, trace)
        trace.count("dead_letters", len(rejected))
        messages = [*self._dead_letters(rejected, clock_iso), *self._scores(updates, plan.moved, clock_iso)]
        messages += [
            self._message(one, headers)
            for one, headers in zip(recommendations.changed, recommendations.traces, strict=True)
        ]
        with stage("publish"):
            # Before the confirmation in the store, so that a crash in between leaves the entries pending.
            self.publisher.publish(messages, lambda: self._record_due(recommendations))
        with stage("confirm"):
            self._confirm(recommendations)
            return recommendations, *self._customers.finish(plan, rejected)

    def _apply(
        self, events: Sequence[DecodedEvent], rejected: list[RejectedEvent], clock_ms: int
    ) -> list[CustomerUpdate]:
        """Apply the events to the store; appends the events that it refuses to ``rejected``."""
        if not events:
            return []
        try:
            return self._apply_batch(events, rejected, clock_ms)
        except CustomerRefused as error:
            logger.warning("Redis refuses a batch of %d (%s); applying it event by event", len(events), error)
        merged: dict[str, CustomerUpdate] = {}
        for event in events:
            try:
                for update in self._apply_batch([event], rejected, clock_ms):
                    customer_id = update.history.customer_id
                    merged[customer_id] = merge_updates(merged.get(customer_id), update)
            except CustomerRefused as error:
                rejected.append(RejectedEvent(event.record, "refused", str(error)))
        return list(merged.values())

    def _apply_batch(
        self, events: Sequence[DecodedEvent], rejected: list[RejectedEvent], clock_ms: int
    ) -> list[CustomerUpdate]:
        if self._lost_data:
            self._lost_data = False
            self._store.reconnect()
        invoices = [event.invoice for event in events]
        applied = self._redis(lambda: self._store.apply(invoices, clock_ms=clock_ms))
        for name, count in applied.counts.items():
            self._metrics.lines(name.removeprefix("lines_"), count)
        self._written.add((one.history.customer_id, one.revision) for one in applied.updates if one.changed)
        rejected += [RejectedEvent(events[index].record, "refused", reason) for index, reason in applied.refused]
        return applied.updates

    def _current(self, events: Sequence[DecodedEvent]) -> list[CustomerUpdate]:
        """The customers of events as they are now."""
        ids = list(dict.fromkeys(str(event.invoice.customer_id) for event in events))
        found = self._redis(lambda: self._store.snapshots(ids)) if ids else []
        return [
            CustomerUpdate(
                one.history,
                one.revision,
                one.published,
                changed=False,
                last=one.last,
                priors=[],
                pending_before=one.revision != one.published,
            )
            for one in found
            if one is not None
        ]

    def _without_waiting(self, updates: list[CustomerUpdate], plan: CustomerPlan) -> list[CustomerUpdate]:
        """Let customers wait whose recommendation is pending and whose lines come apart; returns the others."""
        pending = {each.history.customer_id for each in updates if each.revision != each.published}
        events = [event for event in plan.events if event.invoice.customer_id in pending]
        waiting = self._settling.add(events, {customer_id for customer_id, _ in plan.moved})
        return [each for each in updates if each.history.customer_id not in waiting]

    def _recommend(
        self,
        updates: Sequence[CustomerUpdate],
        events: Sequence[DecodedEvent],
        generated_at: str,
        trace: BatchTrace,
    ) -> RecommendationBatch:
        """One model call for all customers whose published recommendation is older than their history."""
        pending = [update for update in updates if update.revision != update.published]
        batch = RecommendationBatch([], [], [])
        if not pending:
            return batch
        self._redis(self.items.refresh)
        now = self.items.now
        last_events = {event.invoice.customer_id: event for event in events}
        items: list[Sequence[Item]] = []
        records = [last_events[update.history.customer_id] for update in pending]
        triggers = [
            Trigger(invoice.invoice_no, record.topic, record.partition, record.offset) for record, invoice in records
        ]
        made = self.recommender.recommend(pending, triggers, generated_at, trace.stage("predict"))
        for update, recommendation, (record, _) in zip(pending, made, records, strict=True):
            # Where one was pending already, another worker, or one that ended, may have sent a list that nobody saved.
            if recommendation is None or (not update.pending_before and is_unchanged(recommendation, update.last, now)):
                batch.unchanged.append((update.history.customer_id, update.revision))
            else:
                batch.changed.append(recommendation)
                batch.traces.append(trace.message_headers(record.headers))
            items.append(recommendation.items if recommendation else ())
        histories, revisions = [each.history for each in pending], [each.revision for each in pending]
        return batch._replace(due=lambda: self.recommender.due_entries(histories, revisions, items))

    def _message(self, one: Recommendation, trace: Headers) -> Message:
        return recommendation_message(one, self._topics.recommendations, self._source, trace)

    def _dead_letters(self, rejected: Sequence[RejectedEvent], when: str) -> list[Message]:
        if rejected:
            logger.warning("%d events dead-lettered; the first: %s", len(rejected), rejected[0].reason)
        for event in rejected:
            self._metrics.dead_letter(event.cause)
        topic = self._topics.dead_letter
        return [dead_letter(event.record, event.reason, topic=topic, when=when) for event in rejected]

    def _scores(self, updates: Sequence[CustomerUpdate], moved: Set[tuple[str, str]], when: str) -> list[Message]:
        """The messages of scores; an invoice that a merge moved was scored, or not, under its earlier id."""
        messages = []
        for update in updates:
            for score in scores(update, scored_at=when):
                if (score.customer_id, score.invoice_no) in moved:
                    continue
                self._metrics.score(bool(score.hit_at_10))
                headers = event_headers(
                    SCORE,
                    score_event_id(score.rec_id, score.invoice_no, score.revision),
                    source=self._source,
                    time=when,
                    customer_id=score.customer_id,
                )
                messages.append(Message(self._topics.scores, score.customer_id.encode(), self._encode(score), headers))
        return messages

    def _record_due(self, batch: RecommendationBatch) -> None:
        if (index := self._due_index) is not None and (entries := batch.due()):
            self._redis(lambda: index.record(entries))

    def _confirm(self, batch: RecommendationBatch) -> None:
        """Save what was published; where the store refuses the batch, one by one."""
        if not batch.changed and not batch.unchanged:
            return
        try:
            self._redis(lambda: self._store.confirm(batch.changed, batch.unchanged))
            return
        except CustomerRefused as error:
            logger.warning("Redis refuses to save a batch of recommendations (%s); saving them one by one", error)
        for recommendation in batch.changed:
            self._confirm_one(recommendation.customer_id, [recommendation], [])
        for customer_id, revision in batch.unchanged:
            self._confirm_one(customer_id, [], [(customer_id, revision)])

    def _confirm_one(self, customer_id: str, changed: list[Recommendation], unchanged: list[tuple[str, int]]) -> None:
        try:
            self._redis(lambda: self._store.confirm(changed, unchanged))
        except CustomerRefused as error:
            logger.error("Redis refuses to save the published recommendation of customer %s: %s", customer_id, error)

    def _count_latency(self, timestamps: Iterable[float | None]) -> None:
        confirmed_at = self._clock()
        for timestamp in timestamps:
            if timestamp is not None and timestamp > 0:  # Kafka has -1 where a producer gave none
                self._metrics.latency(confirmed_at - timestamp)

    def _redis(self, operation: Callable[[], T]) -> T:
        return self._retry.call("Redis", operation, StoreUnavailable, AccessRefused)
