"""The refresh of recommendations: walks the customers of this worker's partitions, and sends what differs.

It runs in portions in the processor's thread, between batches, so within one worker a customer's messages have one
order. Another worker may process an invoice of the customer at the same time, after a rebalance, or because a producer
partitions in another way: see ``refresh_sender``. ``refresh_plan`` decides what is due and what differs.
"""

import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

import msgspec

from state.domain.rules import Merchandising
from state.errors import StoreRefused, StoreUnavailable
from state.settings import Settings
from state.wording import count
from stream.errors import BrokerUnavailable, Stopped
from stream.monitoring import Metrics
from stream.pipeline.refresh_plan import (
    Finished,
    Shard,
    Target,
    Walk,
    cause_of,
    decode_shard,
    encode_shard,
    last_daily,
    may_resume,
)
from stream.pipeline.refresh_sender import Collaborators, RefreshSender
from training.serving.scorer import Scorer

logger = logging.getLogger(__name__)

CHECK_S = 1.0
"""Time between two looks for something to do."""
PORTION_S = 0.05
"""Processor time that a portion should take: an invoice may have to wait for it."""
MAX_PORTION = 256
MIN_PORTION = 8
"""A call of the model costs much whatever the number of customers."""
CATALOGUE_WAIT = 20
"""After a refresh for a change of the catalogue, the next waits for so many times the seconds that it took."""
RETRY_S = 10.0
"""Time after a portion that failed."""


class Refresher:
    """Refreshes the customers of the partitions that are assigned to this worker; used by the processor's thread.

    Args:
        settings: When, how fast, and the names of topics.
        parts: What it works with.
        metrics: Counters.
        clock: Seconds since 1970.
        monotonic: Seconds, for durations.
        thread_time: Processor time of the thread in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        parts: Collaborators,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        thread_time: Callable[[], float] = time.thread_time,
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._metrics = metrics
        self._clock = clock
        self._monotonic = monotonic
        self._thread_time = thread_time
        self._sender = RefreshSender(settings, parts, metrics, clock)
        self._daily = None if settings.refresh_at == "never" else time_of_day.fromisoformat(settings.refresh_at)
        self._zone = ZoneInfo(settings.timezone)
        self._assigned: frozenset[int] = frozenset()
        self._partitions = 0
        self._shards: dict[int, Shard] | None = None
        self._target: Target | None = None
        self._settled_at = 0.0
        self._collecting: Iterator[list[str]] | None = None
        self._customers: dict[int, list[str]] = {}
        self._changed: dict[int, set[str]] = {}
        self._size = MIN_PORTION
        self._waits_for = ""
        self._catalogue_seconds = 0.0
        self._catalogue_at = 0.0

    def step(self, assigned: frozenset[int]) -> float:
        """Do one portion for the partitions that are assigned now; returns the seconds until the next.

        Raises:
            Stopped: The worker is stopping while a service is unavailable.
        """
        began = self._monotonic()
        try:
            worked = self._step(assigned)
        except Stopped:
            raise
        except (StoreUnavailable, StoreRefused, BrokerUnavailable) as error:
            if str(error) != self._waits_for:
                # An outage of Kafka is one warning, that of the watch.
                level = logging.INFO if isinstance(error, BrokerUnavailable) else logging.WARNING
                logger.log(level, "The refresh of recommendations waits: %s", error)
            self._waits_for = str(error)
            self._forget()
            return RETRY_S
        except Exception:  # invoices are processed all the same
            logger.exception("The refresh of recommendations failed; it begins again where it was")
            self._forget()
            return RETRY_S
        took = self._monotonic() - began
        if not worked:
            return CHECK_S
        self._metrics.refresh_seconds(took)
        self._catalogue_seconds += took
        return took * (1.0 / self._settings.refresh_share - 1.0)

    def _forget(self) -> None:
        """Read what is stored again before the next portion."""
        self._shards, self._collecting = None, None
        self._customers.clear()

    def _step(self, assigned: frozenset[int]) -> bool:
        """Whether a portion was done; False where there is nothing to do now."""
        if assigned != self._assigned:
            self._assigned = assigned
            self._forget()
            self._settled_at = self._monotonic() + self._settings.refresh_delay_seconds
        self._sender.send_overtaken()
        if not assigned or self._parts.clock_problem() is not None:
            return False
        target = self._target_now()
        if self._shards is None:
            self._load(target)
        if self._collecting is not None:
            self._collect()
            return True
        if not self._customers and not self._plan(target):
            return False
        if self._collecting is None:
            self._walk(target)
        return True

    def _target_now(self) -> Target:
        """The target, and since when it is this one: a change that is taken back at once refreshes nobody."""
        parts = self._parts
        target = Target(
            model=parts.model(),
            rules=parts.rules(),
            day=last_daily(self._clock(), self._daily, self._zone),
            asked=parts.progress.asked(),
        )
        if self._target is not None and (target.model, target.rules) != (self._target.model, self._target.rules):
            self._settled_at = self._monotonic() + self._settings.refresh_delay_seconds
        if self._target is not None and target.asked != self._target.asked:
            self._settled_at = 0.0  # whoever asks does not wait
        self._target = target
        return target

    def _load(self, target: Target) -> None:
        """Read the records of the assigned partitions; one without a record counts as up to date."""
        parts = self._parts
        self._partitions = parts.partitions()
        stored = parts.progress.load()
        found = {partition: decode_shard(stored[partition]) for partition in self._assigned if partition in stored}
        self._shards = {}
        new: dict[int, Shard] = {}
        for partition in sorted(self._assigned):
            shard = found.get(partition)
            if shard is None:
                reached = msgspec.structs.replace(target, asked="")
                shard = new[partition] = Shard(reached, parts.changes.positions(), sales=parts.now())
            self._shards[partition] = shard
        self._save(new)

    def _save(self, shards: Mapping[int, Shard]) -> None:
        if shards:
            self._parts.progress.save({partition: encode_shard(shard) for partition, shard in shards.items()})

    def _plan(self, target: Target) -> bool:
        """Begin or resume the refresh of every partition where one is due; whether there is any."""
        assert self._shards is not None
        if self._monotonic() < self._settled_at:
            return False
        positions, now = self._parts.changes.positions(), self._parts.now()
        look_at_catalogue = self._monotonic() >= self._catalogue_at
        due: dict[int, Walk] = {}
        for partition, shard in self._shards.items():
            walk = shard.walk
            if walk is not None and may_resume(walk, target, self._partitions):
                due[partition] = walk
                continue
            changed = look_at_catalogue and bool(self._changes_since(shard, now))
            cause = cause_of(shard, target, fallback=self._parts.fallback, catalogue_changed=changed)
            if cause is not None:
                mixed = walk is not None and walk.is_mixed
                shard.walk = due[partition] = Walk(
                    cause, target, positions, self._partitions, self._clock(), mixed, sales=now
                )
                continue
            if look_at_catalogue:
                shard.catalogue, shard.sales = positions, now
            if walk is not None and not walk.is_mixed:
                shard.walk = None
        if not due:
            self._metrics.refresh_remaining(0)
            return False
        self._catalogue_seconds = 0.0
        self._customers = {partition: [] for partition in due}
        self._changed = {}
        self._collecting = self._parts.store.customer_ids()
        causes = sorted({walk.cause for walk in due.values()})
        logger.info("Refreshing recommendations (%s): partitions %s", ", ".join(causes), sorted(due))
        return True

    def _changes_since(self, shard: Shard, now: int) -> set[str]:
        """The stock codes of the catalogue that changed since a partition was refreshed, or went on or off sale."""
        changes = self._parts.changes
        changed = changes.since(shard.catalogue) if changes.positions() != shard.catalogue else set()
        return changed | changes.on_or_off_sale(shard.sales, now)

    def _collect(self) -> None:
        """Read a portion of the customer ids."""
        assert self._collecting is not None
        assert self._shards is not None
        ids = next(self._collecting, None)
        if ids is not None:
            for customer_id in ids:
                partition = self._parts.partition_of(customer_id, self._partitions)
                if (customers := self._customers.get(partition)) is not None:
                    customers.append(customer_id)
            return
        self._collecting = None
        for partition, customers in self._customers.items():
            walk = self._shards[partition].walk
            assert walk is not None
            walk.total = len(customers)
            if walk.cause == "catalogue":
                self._changed[partition] = self._changes_since(self._shards[partition], walk.sales)
            customers.sort()
            del customers[: bisect_right(customers, walk.position)]
            customers.reverse()  # taken from the end

    def _walk(self, target: Target) -> None:
        """Refresh a portion of the customers of the first partition that is not done."""
        assert self._shards is not None
        partition, customers = next(iter(self._customers.items()))
        shard = self._shards[partition]
        walk = shard.walk
        assert walk is not None
        if walk.target != target:
            self._customers.clear()  # begin again, with the newer target
            return
        portion = [customers.pop() for _ in range(min(len(customers), self._size))]
        if portion:
            began = self._thread_time()
            walk.sent += self._sender.refresh(portion, walk.cause, self._changed.get(partition))
            walk.done = walk.total - len(customers)
            walk.position = portion[-1]
            self._fit_size(len(portion), self._thread_time() - began)
            self._waits_for = ""
        if not customers:
            del self._customers[partition]
            reached = shard.reached if walk.cause == "catalogue" else walk.target
            finished = Finished(walk.cause, self._clock(), walk.total, walk.sent)
            shard = self._shards[partition] = Shard(reached, walk.catalogue, None, finished, walk.sales)
            self._metrics.refreshed_partition(walk.cause)
            if walk.cause == "catalogue":
                wait = max(self._settings.refresh_delay_seconds, CATALOGUE_WAIT * self._catalogue_seconds)
                self._catalogue_at = self._monotonic() + wait
            logger.info(
                "Partition %d is refreshed (%s): %s, %s sent, %.0f s",
                partition,
                walk.cause,
                count(walk.total, "customer"),
                f"{walk.sent:,}",
                self._clock() - walk.began,
            )
        self._metrics.refresh_remaining(sum(map(len, self._customers.values())))
        self._save({partition: shard})

    def _fit_size(self, customers: int, seconds: float) -> None:
        """Let the next portion take about ``PORTION_S``."""
        if customers == self._size:
            fitting = int(customers * PORTION_S / max(seconds, 1e-4))
            self._size = max(MIN_PORTION, min(MAX_PORTION, fitting, 2 * self._size))


def model_name(scorer: Scorer) -> str:
    """A model as a target has it."""
    return f"{scorer.name}/{scorer.version}"


def rules_in_force(merchandising: Merchandising, now: int, clock: int) -> str:
    """Changes with the document of rules, and when a rule begins or ends; ``now`` and ``clock`` as in ``at``."""
    in_force = merchandising.at(now, clock)
    return f"{in_force.version}:{','.join(map(str, in_force.rules))}"
