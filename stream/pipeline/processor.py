"""The processor: a batch of raw events in; state, recommendations, scores and dead letters out, confirmed. No Faust.

Every effect is idempotent, so a batch may be processed again, in whole or in part, by this worker or another, and ends
the same. ``process`` returns when every effect is confirmed; while Redis or Kafka does not answer it keeps trying.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from state.domain.history import CustomerHistory
from state.domain.recommendation import Model, Recommendation, Trigger
from state.errors import InvalidEvent, StoreRefused, StoreUnavailable
from state.events.dates import to_iso
from state.events.invoice import Invoice
from state.events.wire import Decoder
from state.settings import Settings
from state.store.protocol import CustomerUpdate, Store, merge_updates
from stream.errors import MessageTooLarge, PublisherUnavailable
from stream.messages import Incoming, Message
from stream.monitoring import Metrics
from stream.pipeline.dead_letters import dead_letter, without_value
from stream.pipeline.ports import Publisher
from stream.pipeline.recommendations import Moment, is_unchanged, recommend
from stream.pipeline.retry import RetryPolicy
from stream.pipeline.scores import scores
from training.features.item_table import ItemTable
from training.serving.scorer import Prediction, Scorer

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Event(NamedTuple):
    """An event that could be decoded, and where it came from."""

    incoming: Incoming
    invoice: Invoice


class Refusal(NamedTuple):
    """An event that cannot be taken. ``cause`` is a word for the metrics, ``reason`` the sentence for people."""

    incoming: Incoming
    cause: str
    reason: str


class Answers(NamedTuple):
    """What a batch has to say: recommendations to send, and (customer, revision) whose last answer still stands."""

    recommendations: list[Recommendation]
    unchanged: list[tuple[str, int]]


class Processor:
    """Processes batches, one after the other, in one thread.

    Args:
        settings: Topics, bounds, sizes.
        store: Histories, items, last recommendations.
        publisher: Where messages go.
        scorer: Gives the scorer that serves now; asked once a batch.
        fallback: Serves customers that the scorer fails for.
        patience: How outages are waited out, and what ends the waiting.
        metrics: What is counted.
        clock: Seconds since 1970; for ``generated_at``, revisions and dates ahead only.
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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._topics = settings.topics
        self._store = store
        self._publisher = publisher
        self._scorer = scorer
        self._fallback = fallback
        self._patience = retry
        self._metrics = metrics
        self._clock = clock
        self._decoder = Decoder(settings)
        self._items = ItemTable()
        self._items_version = 0
        self._now = 0
        self._encode = msgspec.json.Encoder().encode

    def process(self, batch: Sequence[Incoming]) -> None:
        """Process a batch to its end.

        Raises:
            Stopped: We are to stop, and Redis or Kafka does not answer: the batch must not be acknowledged.
            StoreRefused: The store cannot serve at all, whatever the event.
        """
        clock = self._clock()
        stage = self._metrics.stage
        with stage("decode"):
            events, refusals = self._decode(batch, int(clock))
        with stage("apply"):
            touched = self._apply(events, refusals, int(clock * 1000))
        with stage("answer"):
            answers = self._answer(touched, events, to_iso(int(clock)))
        messages = [*self._dead_letters(refusals, to_iso(int(clock))), *self._scores(touched, to_iso(int(clock)))]
        messages += [
            Message(self._topics.recommendations, answer.customer_id.encode(), self._encode(answer))
            for answer in answers.recommendations
        ]
        with stage("publish"):
            self._publish(messages)
        with stage("confirm"):
            self._confirm(answers)
        self._count(batch, answers)

    def _decode(self, batch: Sequence[Incoming], now: int) -> tuple[list[Event], list[Refusal]]:
        events: list[Event] = []
        refusals: list[Refusal] = []
        anonymous = 0
        decode = self._decoder.decode
        for incoming in batch:
            try:
                invoice = decode(incoming.value, now=now)
            except InvalidEvent as error:
                refusals.append(Refusal(incoming, "invalid", str(error)))
                continue
            for reason, count in invoice.excluded_lines.items():
                self._metrics.lines(reason, count)
            if invoice.customer_id is None:
                anonymous += 1
            elif invoice.lines:
                events.append(Event(incoming, invoice))
        if anonymous:
            self._metrics.anonymous(anonymous)
        return events, refusals

    def _apply(self, events: Sequence[Event], refusals: list[Refusal], clock_ms: int) -> list[CustomerUpdate]:
        """Apply the events; adds to ``refusals`` those that the store refuses, and only those."""
        if not events:
            return []
        try:
            return self._apply_together(events, refusals, clock_ms)
        except StoreRefused as error:
            # Something in this batch, or the store as a whole? A store that refuses to be read ends the process.
            self._read_items()
            logger.warning("Redis refuses a batch of %d (%s); applying it event by event", len(events), error)
        merged: dict[str, CustomerUpdate] = {}
        for event in events:
            try:
                for touched in self._apply_together([event], refusals, clock_ms):
                    customer_id = touched.history.customer_id
                    merged[customer_id] = merge_updates(merged.get(customer_id), touched)
            except StoreRefused as error:
                refusals.append(Refusal(event.incoming, "refused", str(error)))
        return list(merged.values())

    def _apply_together(self, events: Sequence[Event], refusals: list[Refusal], clock_ms: int) -> list[CustomerUpdate]:
        invoices = [event.invoice for event in events]
        applied = self._redis(lambda: self._store.apply(invoices, clock_ms=clock_ms))
        for fate, count in applied.counts.items():
            self._metrics.lines(fate.removeprefix("lines_"), count)
        refusals += [Refusal(events[place].incoming, "refused", reason) for place, reason in applied.refused]
        return applied.updates

    def _answer(self, touched: Sequence[CustomerUpdate], events: Sequence[Event], generated_at: str) -> Answers:
        """One model call for all customers whose published answer is behind their history."""
        owed = [one for one in touched if one.revision != one.published]
        if not owed:
            return Answers([], [])
        self._read_items()
        now = self._now
        scorer = self._scorer()
        moment = Moment(
            now=now,
            generated_at=generated_at,
            model=Model(scorer.name, scorer.version),
            items=self._items,
            demand=self._items.demand(now),
            valid_days=self._settings.valid_days,
            most=self._settings.top_k,
        )
        triggers = {event.invoice.customer_id: event for event in events}
        answers = Answers([], [])
        for one, (prediction, model) in zip(owed, self._predict(scorer, owed, now), strict=True):
            customer_id = one.history.customer_id
            event = triggers[customer_id]
            at = event.incoming
            trigger = Trigger(event.invoice.invoice_no, at.topic, at.partition, at.offset)
            answer = recommend(one, prediction, trigger, moment._replace(model=model))
            if answer is None or is_unchanged(answer, one.last, now):
                answers.unchanged.append((customer_id, one.revision))
            else:
                answers.recommendations.append(answer)
        return answers

    def _predict(self, scorer: Scorer, owed: Sequence[CustomerUpdate], now: int) -> list[tuple[Prediction, Model]]:
        """A prediction for each, and which model made it: where the scorer fails for a customer, the fallback."""
        histories = [one.history for one in owed]
        most = self._settings.top_k
        model = Model(scorer.name, scorer.version)
        try:
            with self._metrics.stage("predict"):
                predictions = scorer.predict(histories, self._items, now, most)
            return [(prediction, model) for _, prediction in zip(histories, predictions, strict=True)]
        except Exception:
            logger.exception("%s %s failed for a batch; predicting one by one", scorer.name, scorer.version)
        results: list[tuple[Prediction, Model]] = []
        for history in histories:
            try:
                results.append((scorer.predict([history], self._items, now, most)[0], model))
            except Exception:
                logger.exception("%s %s failed for customer %s", scorer.name, scorer.version, history.customer_id)
                self._metrics.fallback()
                results.append(self._predict_anyhow(history, now))
        return results

    def _predict_anyhow(self, history: CustomerHistory, now: int) -> tuple[Prediction, Model]:
        fallback = self._fallback
        try:
            prediction = fallback.predict([history], self._items, now, self._settings.top_k)[0]
        except Exception:
            # One customer without an answer is bad; a partition that stands still is worse.
            logger.exception("The fallback failed for customer %s too", history.customer_id)
            prediction = Prediction([], ())
        return prediction, Model(fallback.name, fallback.version)

    def _read_items(self) -> None:
        """Bring the item table up to the store's."""
        changes = self._redis(lambda: self._store.items(self._items_version))
        if changes.version < self._items_version:
            # The store was emptied and filled again: what we know of items is of another life.
            self._items = ItemTable()
            changes = self._redis(lambda: self._store.items(0))
        self._items.update(changes.states.values())
        self._items_version = changes.version
        self._now = changes.now or 0

    def _dead_letters(self, refusals: Sequence[Refusal], when: str) -> list[Message]:
        if refusals:
            logger.warning("%d events dead-lettered; the first: %s", len(refusals), refusals[0].reason)
        for refusal in refusals:
            self._metrics.dead_letter(refusal.cause)
        topic = self._topics.dead_letter
        return [dead_letter(refusal.incoming, refusal.reason, topic=topic, when=when) for refusal in refusals]

    def _scores(self, touched: Sequence[CustomerUpdate], when: str) -> list[Message]:
        messages = []
        for one in touched:
            for scored in scores(one, scored_at=when):
                self._metrics.score(bool(scored.hit_at_10))
                messages.append(Message(self._topics.scores, scored.customer_id.encode(), self._encode(scored)))
        return messages

    def _publish(self, messages: Sequence[Message]) -> None:
        """Publish until all is confirmed; what is too large for the broker goes without its value, or not at all."""
        pending = list(messages)

        def attempt() -> None:
            nonlocal pending
            try:
                self._publisher.publish(pending)
            except PublisherUnavailable as error:
                pending = error.undelivered
                raise

        while pending:
            try:
                self._patience.call("Kafka", attempt, PublisherUnavailable)
            except MessageTooLarge as error:
                logger.error("%s", error)
                pending = [smaller for message in error.messages if (smaller := self._smaller(message))]
            else:
                return

    def _smaller(self, message: Message) -> Message | None:
        if message.topic == self._topics.dead_letter and message.value is not None:
            return without_value(message)
        if message.topic == self._topics.dead_letter and message.key is not None:
            return msgspec.structs.replace(message, key=None)
        logger.error(
            "A message for %s with key %.100r cannot be sent at any size and is left out", message.topic, message.key
        )
        return None

    def _confirm(self, answers: Answers) -> None:
        if not answers.recommendations and not answers.unchanged:
            return
        try:
            self._redis(lambda: self._store.confirm(answers.recommendations, answers.unchanged))
            return
        except StoreRefused as error:
            logger.warning("Redis refuses to keep a batch of answers (%s); keeping them one by one", error)
        for answer in answers.recommendations:
            self._confirm_one(answer.customer_id, [answer], [])
        for customer_id, revision in answers.unchanged:
            self._confirm_one(customer_id, [], [(customer_id, revision)])

    def _confirm_one(self, customer_id: str, sent: list[Recommendation], unchanged: list[tuple[str, int]]) -> None:
        try:
            self._redis(lambda: self._store.confirm(sent, unchanged))
        except StoreRefused as error:
            logger.error("Redis refuses to keep the answer for customer %s, which was sent: %s", customer_id, error)

    def _count(self, batch: Sequence[Incoming], answers: Answers) -> None:
        metrics = self._metrics
        metrics.batch(len(batch))
        metrics.recommendations("sent", len(answers.recommendations))
        metrics.recommendations("unchanged", len(answers.unchanged))
        done = self._clock()
        for incoming in batch:
            if incoming.timestamp is not None:
                metrics.latency(done - incoming.timestamp)

    def _redis(self, operation: Callable[[], T]) -> T:
        return self._patience.call("Redis", operation, StoreUnavailable)
