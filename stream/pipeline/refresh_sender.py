"""Sends what a refresh changes: ranks customers anew, reserves a revision for each list that differs, and publishes it.

Another worker may process an invoice of the customer at the same time. So a revision is reserved first, which fails
where the history has changed since it was read; a later invoice gets a higher one.
"""

import logging
import time
from collections.abc import Callable, Sequence, Set
from typing import NamedTuple, TypeVar

import msgspec

from state.domain.recommendation import Recommendation, Trigger
from state.errors import AccessRefused, StoreUnavailable
from state.events.dates import to_iso
from state.settings import Settings
from state.store.protocol import CustomerSnapshot, CustomerUpdate, DueIndex, Store
from stream.errors import Stopped
from stream.messages import Message
from stream.monitoring import Metrics
from stream.pipeline.catalogue_changes import CatalogueChanges
from stream.pipeline.confirmed_publisher import ConfirmedPublisher
from stream.pipeline.event_headers import event_source
from stream.pipeline.item_cache import ItemCache
from stream.pipeline.ports import RefreshProgress
from stream.pipeline.recommendations import rec_id
from stream.pipeline.recommender import Recommender, recommendation_message
from stream.pipeline.refresh_plan import EXPIRY_MARGIN_S, Cause, differs, is_touched
from stream.pipeline.retry import RetryPolicy

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Collaborators(NamedTuple):
    """What the refresh shares with the processor, and what its partitions are.

    ``partitions`` returns the number of partitions of ``invoices``, ``partition_of`` that of a customer among so many.
    ``model`` returns name/version of the model that serves, ``rules`` the version of the rules in force, ``now`` the
    time by which it is decided what is on sale, and ``clock_problem`` why the clock of this machine is not trusted.
    """

    store: Store
    items: ItemCache
    recommender: Recommender
    publisher: ConfirmedPublisher
    retry: RetryPolicy
    progress: RefreshProgress
    changes: CatalogueChanges
    partitions: Callable[[], int]
    partition_of: Callable[[str, int], int]
    model: Callable[[], str]
    rules: Callable[[], str]
    now: Callable[[], int]
    fallback: str
    clock_problem: Callable[[], str | None]
    due_index: DueIndex | None = None


class RefreshSender:
    """Refreshes customers; used by the processor's thread.

    Args:
        settings: Names of the topics.
        parts: What it works with.
        metrics: Counters.
        clock: Seconds since 1970.
    """

    def __init__(
        self, settings: Settings, parts: Collaborators, metrics: Metrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._metrics = metrics
        self._clock = clock
        self._source = event_source(settings.namespace)
        self._overtaken: dict[str, Cause] = {}

    def refresh(self, customer_ids: Sequence[str], cause: Cause, changed: Set[str] | None) -> int:
        """Refresh customers, where a portion fails one by one; returns the number sent."""
        try:
            return self._refresh_portion(customer_ids, cause, changed)
        except (Stopped, StoreUnavailable, AccessRefused):
            raise
        except Exception as error:  # of one customer; the others are refreshed all the same
            if len(customer_ids) == 1:
                logger.warning("Customer %s is not refreshed: %r", customer_ids[0], error)
                self._metrics.refreshed("failed", 1)
                return 0
        return sum(self.refresh([customer_id], cause, changed) for customer_id in customer_ids)

    def _refresh_portion(self, customer_ids: Sequence[str], cause: Cause, changed: Set[str] | None) -> int:
        """Refresh customers, where ``changed`` is given only those that these stock codes touch."""
        snapshots = self._parts.store.snapshots(customer_ids)
        present = [each for each in snapshots if each is not None]
        ending = [each for each in present if each.expires_in is not None and each.expires_in < EXPIRY_MARGIN_S]
        self._withdraw([each for each in ending if each.last is not None], cause)
        lasting = [each for each in present if each.expires_in is None or each.expires_in >= EXPIRY_MARGIN_S]
        chosen = lasting if changed is None else [each for each in lasting if is_touched(each.last, changed)]
        self._metrics.refreshed("untouched", len(lasting) - len(chosen))
        return self._send(chosen, cause) if chosen else 0

    def _send(self, snapshots: Sequence[CustomerSnapshot], cause: Cause, *, always: bool = False) -> int:
        """Rank, and send what differs, or ``always``; the number sent."""
        parts = self._parts
        self._redis(parts.items.refresh)
        clock = self._clock()
        updates = [
            CustomerUpdate(each.history, each.revision, each.published, changed=False, last=each.last, priors=[])
            for each in snapshots
        ]
        made = parts.recommender.recommend(updates, [Trigger(refresh=cause)] * len(updates), to_iso(int(clock)))
        different = [
            one
            for one, each in zip(made, snapshots, strict=True)
            if one is not None
            and (always or each.revision != each.published or differs(one, each.last, parts.items.now))
        ]
        self._metrics.refreshed("unchanged", len(made) - len(different))
        if not different:
            return 0
        expected = [(one.customer_id, one.revision) for one in different]
        revisions = self._redis(lambda: parts.store.reserve(expected, clock_ms=int(clock * 1000)))
        sent = [
            _with_revision(one, revision)
            for one, revision in zip(different, revisions, strict=True)
            if revision is not None
        ]
        # The others have a newer invoice, whose recommendation is as new.
        self._metrics.refreshed("overtaken", len(different) - len(sent))
        if not sent:
            return 0
        topic = self._settings.topics.recommendations
        parts.publisher.publish([recommendation_message(one, topic, self._source) for one in sent])
        if (index := parts.due_index) is not None:
            histories = {each.history.customer_id: each.history for each in snapshots}
            entries = parts.recommender.due_entries(
                [histories[one.customer_id] for one in sent],
                [one.revision for one in sent],
                [one.items for one in sent],
            )
            self._redis(lambda: index.record(entries))
        self._redis(lambda: parts.store.confirm(sent))
        self._note_overtaken([(one.customer_id, one.revision) for one in sent], cause)
        self._metrics.refreshed("sent", len(sent))
        return len(sent)

    def _withdraw(self, snapshots: Sequence[CustomerSnapshot], cause: Cause) -> None:
        """Delete the recommendations of customers whose histories expire, on the topic by null values."""
        if not snapshots:
            return
        parts = self._parts
        known = [(each.history.customer_id, each.revision) for each in snapshots]
        topic = self._settings.topics.recommendations
        parts.publisher.publish([Message(topic, customer_id.encode(), None) for customer_id, _ in known])
        self._redis(lambda: parts.store.withdraw(known))
        self._note_overtaken(known, cause)
        self._metrics.refreshed("withdrawn", len(known))

    def _note_overtaken(self, sent: Sequence[tuple[str, int]], cause: Cause) -> None:
        """Look at what another worker did while this one published.

        Customers whose invoice it took, in either order, are noted; what it erased is deleted once more.
        """
        parts = self._parts
        revisions = self._redis(lambda: parts.store.revisions([customer_id for customer_id, _ in sent]))
        erased: list[str] = []
        for (customer_id, revision), now in zip(sent, revisions, strict=True):
            if now == 0:
                erased.append(customer_id)
            elif now > revision:
                self._overtaken[customer_id] = cause
        topic = self._settings.topics.recommendations
        parts.publisher.publish([Message(topic, customer_id.encode(), None) for customer_id in erased])
        if erased and (index := parts.due_index) is not None:
            self._redis(lambda: index.forget(erased))

    def send_overtaken(self) -> None:
        """Send the newest recommendation where an older one may be behind it on the topic.

        Read from its begin, or compacted, a topic ends with the last message of a key, whatever its revision.
        """
        if not self._overtaken:
            return
        known = list(self._overtaken)
        settled: dict[Cause, list[CustomerSnapshot]] = {}
        for customer_id, each in zip(known, self._parts.store.snapshots(known), strict=True):
            if each is not None and each.published != each.revision:
                continue  # the other worker has not confirmed its recommendation yet
            cause = self._overtaken.pop(customer_id)
            if each is not None:
                settled.setdefault(cause, []).append(each)
        for cause, snapshots in settled.items():
            self._send(snapshots, cause, always=True)

    def _redis(self, operation: Callable[[], T]) -> T:
        return self._parts.retry.call("Redis", operation, StoreUnavailable, AccessRefused)


def _with_revision(one: Recommendation, revision: int) -> Recommendation:
    return msgspec.structs.replace(one, revision=revision, rec_id=rec_id(one.customer_id, revision, one.model.version))
