"""The faults: each is something that the outside world does to a shop, and what must be logged and counted of it.

A fault begins while events are sent, lasts, and ends. ``part`` is what it hits; two faults of different parts may
overlap. A fault that is ``alone`` overlaps with none.
"""

import random
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal

import psutil
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.faults import checks
from tests.faults.producers import send_to
from tests.faults.redis_services import PASSWORD, ClusterRedis, SentinelRedis, SingleRedis
from tests.faults.shop import PARTITIONS, STALL_S, Mark, Shop
from tests.integration.storefront import Event
from tests.integration.test_swap import training_log
from tests.integration.workers import nextbasket
from tests.services.group import wait_until
from training.models.baselines.model import Baseline

DAY_S = 86_400
SESSION_S = 10.0
"""``broker_session_timeout`` of a worker."""
NOTICE_S = 10.0
"""A partition that is added has a worker within this time."""

Part = Literal["worker", "redis", "kafka", "registry"]


class Fault(ABC):
    """One kind of fault.

    ``hold_s`` bounds its length in seconds; it does not end before a line that matches ``noticed`` is in a log.
    ``logged`` are patterns of lines that must appear, and ``counted`` metrics that must rise.
    """

    name: ClassVar[str]
    part: ClassVar[Part]
    alone: ClassVar[bool] = False
    last: ClassVar[bool] = False
    """Nothing that loses data of Redis may follow, because the topic has not all events any more."""
    quiet: ClassVar[bool] = False
    """Nothing is sent while it lasts: it decides itself which events are lost."""
    hold_s: ClassVar[tuple[float, float]] = (1.0, 3.0)
    noticed: ClassVar[str] = ""
    logged: ClassVar[tuple[str, ...]] = ()
    counted: ClassVar[tuple[str, ...]] = ()

    def prepare(self, shop: Shop) -> None:  # noqa: B027 - most faults need nothing
        """Called before the events are sent."""

    @abstractmethod
    def begin(self, shop: Shop, rng: random.Random) -> None:
        """Do the harm."""

    def end(self, shop: Shop) -> None:  # noqa: B027 - some faults are not undone
        """Undo it, as an operator or a supervisor would."""

    def after(self, shop: Shop, mark: Mark) -> None:
        """Check what must be logged and counted, once all events are processed; repair what was lost."""
        for pattern in self.logged:
            shop.require_logged(pattern, mark)
        for name in self.counted:
            shop.require_counted(name, mark)


class WorkerFault(Fault):
    """Hits one of the workers."""

    part = "worker"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        self._worker = rng.choice([worker for worker in shop.workers if worker.pid])
        self._hit(shop)

    @abstractmethod
    def _hit(self, shop: Shop) -> None:
        """Do the harm to ``_worker``."""


class WorkerKilled(WorkerFault):
    """SIGKILL."""

    name = "worker-kill"

    def _hit(self, shop: Shop) -> None:
        self._worker.kill()

    def end(self, shop: Shop) -> None:
        self._worker.start()


class WorkerStopped(WorkerFault):
    """SIGTERM: it ends with 0, also while something else is away."""

    name = "worker-term"

    def _hit(self, shop: Shop) -> None:
        assert self._worker.stop() == 0, self._worker.log_tail()

    def end(self, shop: Shop) -> None:
        self._worker.start()


class WorkerJoins(WorkerFault):
    """One worker more joins the group, and leaves it."""

    name = "worker-join"
    hold_s = (4.0, 8.0)

    def _hit(self, shop: Shop) -> None:
        self._worker = shop.add_worker()

    def end(self, shop: Shop) -> None:
        # Before its signal handlers are there, SIGTERM would end it as it ends every process.
        wait_until(lambda: "worker: brokers" in self._worker.log.read_text(), "it has begun", STALL_S, shop.alive)
        assert self._worker.stop() == 0, self._worker.log_tail()
        shop.workers.remove(self._worker)


class WorkerPaused(WorkerFault):
    """SIGSTOP past its session: its partitions move to others, and what it does afterwards must harm nothing."""

    name = "worker-pause"
    hold_s = (SESSION_S + 1.5, SESSION_S + 4.0)

    def _hit(self, shop: Shop) -> None:
        self._worker.send_signal(signal.SIGSTOP)

    def end(self, shop: Shop) -> None:
        self._worker.send_signal(signal.SIGCONT)


class ClockJumps(WorkerFault):
    """The clock of a worker's machine jumps by days, back or ahead, while it works."""

    name = "clock-jump"
    hold_s = (6.0, 9.0)
    noticed = "^Waiting for clock: .* s (behind|ahead of) that of Redis"
    counted = ('outage_seconds_total{service="clock"}',)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        self._offset_s = rng.choice([-3.0, -0.5, 2.0, 3_650.0]) * DAY_S
        super().begin(shop, rng)

    def _hit(self, shop: Shop) -> None:
        self._worker.set_clock(self._offset_s)

    def end(self, shop: Shop) -> None:
        self._worker.set_clock(0.0)


class RedisFault(Fault):
    """Hits a single Redis, or one node of a Cluster."""

    part = "redis"
    noticed: ClassVar[str] = "^Waiting for Redis: "
    logged: ClassVar[tuple[str, ...]] = ("^Redis answers after ",)
    counted: ClassVar[tuple[str, ...]] = ('outage_seconds_total{service="Redis"}',)


class RedisKilled(RedisFault):
    """SIGKILL; it comes back on its data."""

    name = "redis-kill"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        shop.redis.primary.kill()

    def end(self, shop: Shop) -> None:
        assert isinstance(shop.redis, SingleRedis | ClusterRedis)
        shop.redis.restart()


class RedisHung(RedisFault):
    """SIGSTOP: it accepts connections and does not answer."""

    name = "redis-hang"
    hold_s = (4.0, 9.0)
    noticed = ""
    logged = ("^Waiting for (Redis|Kafka): |^A call of Redis took ",)  # who waits for Kafka does not call Redis
    counted = ()

    def begin(self, shop: Shop, rng: random.Random) -> None:
        psutil.Process(shop.redis.primary.pid).suspend()

    def end(self, shop: Shop) -> None:
        psutil.Process(shop.redis.primary.pid).resume()


class RedisFull(RedisFault):
    """``maxmemory`` is reached: it reads, and refuses to write."""

    name = "redis-full"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        self._limit(shop, 1)

    def end(self, shop: Shop) -> None:
        self._limit(shop, 0)

    @staticmethod
    def _limit(shop: Shop, size: int) -> None:
        with shop.redis.admin() as client:
            client.config_set("maxmemory", size)


class RedisForbidden(RedisFault):
    """The workers' user loses the right to do something, and gets it back."""

    name = "redis-forbid"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        assert isinstance(shop.redis, SingleRedis)
        shop.redis.set_user(rng.choice(["-@write", "-@all", "resetkeys"]))

    def end(self, shop: Shop) -> None:
        assert isinstance(shop.redis, SingleRedis)
        shop.redis.set_user("+@all", "~*")


class RedisLocked(RedisFault):
    """The password of the workers' user is changed and their connections are closed; later it is right again."""

    name = "redis-password"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        assert isinstance(shop.redis, SingleRedis)
        shop.redis.set_user("resetpass", ">another")
        shop.redis.close_connections()

    def end(self, shop: Shop) -> None:
        assert isinstance(shop.redis, SingleRedis)
        shop.redis.set_user("resetpass", f">{PASSWORD}")


class RedisLoss(Fault):
    """Redis loses data; a command brings it back from the topic."""

    part = "redis"
    alone = True
    counted = ("redis_losses_total",)

    def after(self, shop: Shop, mark: Mark) -> None:
        super().after(shop, mark)
        self.repair(shop)

    @staticmethod
    def repair(shop: Shop) -> None:
        """Bring the histories back; the recommendations come with the next events."""
        nextbasket(shop.variables, "rebuild")
        shop.lossy = True


class RedisFlushed(RedisLoss):
    """FLUSHALL."""

    name = "redis-flush"
    logged = ("^Redis lost its data: its items were at version .*nextbasket rebuild",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        with shop.paused() if isinstance(shop.redis, ClusterRedis) else nullcontext():  # all nodes at once
            shop.redis.empty()


class RedisFailsOver(RedisLoss):
    """The primary is gone, and the replica that takes its place lacks the last writes."""

    name = "redis-failover"
    logged = ("^Redis lost its last .*nextbasket rebuild",)

    def prepare(self, shop: Shop) -> None:
        assert isinstance(shop.redis, SingleRedis)
        self._replica = shop.redis.add_replica()
        shop.redis.cut_off(self._replica)
        with shop.redis.admin() as client:
            self._offset = client.info("replication")["master_repl_offset"]

    def begin(self, shop: Shop, rng: random.Random) -> None:
        assert isinstance(shop.redis, SingleRedis)
        with shop.redis.admin() as client:
            wait_until(
                lambda: client.info("replication")["master_repl_offset"] > self._offset + 2_000,
                "writes follow",
                STALL_S,
            )
        time.sleep(rng.uniform(0.0, 1.0))
        shop.redis.fail_over(self._replica)


class SentinelFailsOver(RedisLoss):
    """The Sentinel promotes the replica; what workers write to the old primary meanwhile, if anything, is lost."""

    name = "sentinel-failover"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        assert isinstance(shop.redis, SentinelRedis)
        shop.redis.fail_over()

    def after(self, shop: Shop, mark: Mark) -> None:
        if checks.histories_differ(shop):
            shop.require_logged("^Redis lost its last ", mark)
            shop.require_counted("redis_losses_total", mark)
        self.repair(shop)


class KafkaFault(Fault):
    """Hits the broker."""

    part = "kafka"
    noticed = "^Waiting for Kafka: "
    counted = ('outage_seconds_total{service="Kafka"}',)


class KafkaKilled(KafkaFault):
    """SIGKILL; it comes back on its data."""

    name = "kafka-kill"
    hold_s = (3.0, 5.0)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        shop.kafka.kill()

    def end(self, shop: Shop) -> None:
        shop.kafka.start()


class KafkaPaused(KafkaFault):
    """SIGSTOP: it accepts connections and does not answer."""

    name = "kafka-pause"
    hold_s = (7.0, 9.0)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        psutil.Process(shop.kafka.pid).suspend()

    def end(self, shop: Shop) -> None:
        psutil.Process(shop.kafka.pid).resume()


class PartitionsAdded(Fault):
    """The topic gets a partition more; its events are processed within ``NOTICE_S``."""

    name = "kafka-partitions"
    part = "kafka"
    alone = True

    def begin(self, shop: Shop, rng: random.Random) -> None:
        new = len(shop.group.partitions())
        admin = shop.admin()
        for change in admin.create_partitions([NewPartitions(shop.topic, new + 1)]).values():
            change.result()
        began = time.monotonic()
        event = next(iter(shop.known.values()))
        send_to(shop.kafka.brokers, shop.topic, [event], new)
        wait_until(lambda: shop.group.committed().get(new, 0) > 0, f"partition {new} is read", STALL_S, shop.alive)
        seconds = time.monotonic() - began
        assert seconds < NOTICE_S + 5.0, f"a new partition was noticed after {seconds:.1f} s"


class TopicMadeAgain(Fault):
    """The topic is deleted with some events that no worker has read, and made again: offsets begin at 0."""

    name = "kafka-topic"
    part = "kafka"
    alone = True
    last = True
    quiet = True
    logged = ("was deleted and made again: events",)
    counted = ("topics_made_again_total",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        wait_until(lambda: shop.group.unread() == 0, "all is read", STALL_S, shop.alive)
        shop.deleted = shop.records()
        admin = shop.admin()
        with shop.paused():
            time.sleep(2 * shop.settings.fetch_wait_ms / 1_000)  # the fetch that is under way ends empty
            send_to(shop.kafka.brokers, shop.topic, [Event(b"never read", None, valid=False)], 0)
            for deletion in admin.delete_topics([shop.topic], operation_timeout=10).values():
                deletion.result()
            wait_until(lambda: shop.topic not in admin.list_topics(timeout=5).topics, "it is deleted", STALL_S)
            for creation in admin.create_topics([NewTopic(shop.topic, PARTITIONS, 1)]).values():
                creation.result()


class RegistryFault(Fault):
    """Hits the registry."""

    part = "registry"

    def _publish(self, shop: Shop, name: str) -> str:
        """Publish a small model, without promoting it."""
        folder = shop.folder / f"fitted-{name}"
        if not folder.exists():
            folder.mkdir()
            Baseline(name, calibrate=False).fit(training_log(shop.storefront), until=2_000_000_000).save(folder)
        return shop.registry.publish(
            folder,
            name=name,
            data_from=datetime(2011, 1, 1, tzinfo=UTC),
            data_until=datetime(2011, 12, 10, tzinfo=UTC),
            metrics={},
            created=_now(),
        )


def _now() -> datetime:
    return datetime.fromtimestamp(int(time.time()), UTC)


class ModelPublished(RegistryFault):
    """A new model is promoted."""

    name = "model-new"
    logged = ("serves from the next batch",)
    counted = ("model_swaps_total",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        shop.registry.promote(self._publish(shop, rng.choice(["gp_topfreq", "count_demand"])), at=_now())


class ModelDamaged(RegistryFault):
    """The promoted model is damaged: workers refuse it and serve the one before."""

    name = "model-damaged"
    logged = ("^Model .* is refused, .* stays in use",)
    counted = ("models_refused_total",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        version = self._publish(shop, "gp_topfreq")
        registry = Path(shop.settings.registry_url)
        files = [file for file in (registry / "versions" / version).iterdir() if file.name != "manifest.json"]
        damaged = max(files)
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
        (registry / "current").write_text(version)  # promote would refuse it

    def after(self, shop: Shop, mark: Mark) -> None:
        super().after(shop, mark)
        shop.registry.promote(self._publish(shop, "gp_topfreq"), at=_now())


class ModelRolledBack(RegistryFault):
    """The promotion before the last one is in force again."""

    name = "model-rollback"
    logged = ("serves from the next batch",)
    counted = ("model_swaps_total",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        for name in ("gp_topfreq", "count_demand"):
            shop.registry.promote(self._publish(shop, name), at=_now())
        shop.registry.rollback(at=_now())


PUBLISH = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path

from training.registry import Registry

resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
date = datetime(2011, 1, 1, tzinfo=UTC)
Registry(sys.argv[1]).publish(
    Path(sys.argv[2]), name="gp_topfreq", data_from=date, data_until=date, metrics={}, created=datetime.now(UTC)
)
"""


class RegistryFull(RegistryFault):
    """The disk of the registry takes no more than the first bytes of a bundle: no version appears, nothing changes."""

    name = "registry-full"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        self._publish(shop, "gp_topfreq")
        before = [manifest.version for manifest in shop.registry.versions()], shop.registry.current()
        done = subprocess.run(
            [sys.executable, "-c", PUBLISH, str(shop.folder / "registry"), str(shop.folder / "fitted-gp_topfreq")],
            capture_output=True,
            text=True,
            check=False,
            timeout=STALL_S,
        )
        assert done.returncode != 0, "a bundle was published onto a full disk"
        assert "File too large" in done.stderr, done.stderr
        after = [manifest.version for manifest in shop.registry.versions()], shop.registry.current()
        assert after == before


ANYWHERE: tuple[type[Fault], ...] = (
    WorkerKilled,
    WorkerStopped,
    WorkerJoins,
    WorkerPaused,
    ClockJumps,
    KafkaKilled,
    KafkaPaused,
    PartitionsAdded,
    TopicMadeAgain,
    ModelPublished,
    ModelDamaged,
    ModelRolledBack,
    RegistryFull,
)
KINDS: dict[str, tuple[type[Fault], ...]] = {
    "single": (
        *ANYWHERE,
        RedisKilled,
        RedisHung,
        RedisFull,
        RedisForbidden,
        RedisLocked,
        RedisFlushed,
        RedisFailsOver,
    ),
    "cluster": (*ANYWHERE, RedisKilled, RedisHung, RedisFull, RedisFlushed),
    "sentinel": (*ANYWHERE, RedisHung, RedisFull, RedisFlushed, SentinelFailsOver),
}
"""The faults of each kind of Redis."""
