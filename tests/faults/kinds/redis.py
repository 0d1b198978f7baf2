"""Faults of Redis."""

import random
import time
from contextlib import nullcontext
from typing import ClassVar

import psutil
import pytest

from tests.faults import checks
from tests.faults.kinds.fault import Fault
from tests.faults.redis_services import PASSWORD, ClusterRedis, SentinelRedis, SingleRedis
from tests.faults.shop import STALL_S, Mark, Shop
from tests.integration.workers import nextbasket
from tests.services.group import wait_until


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
    losses = ("^Redis lost ", "^Redis is empty")

    def after(self, shop: Shop, mark: Mark) -> None:
        super().after(shop, mark)
        self.repair(shop)

    @staticmethod
    def repair(shop: Shop) -> None:
        """Bring the histories back; the recommendations come with the next events."""
        nextbasket(shop.variables, "rebuild")
        shop.lost = checks.lost(shop)


class RedisFlushed(RedisLoss):
    """FLUSHALL."""

    name = "redis-flush"
    logged = ("^Redis lost its data: its items were at version .*nextbasket rebuild",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        with shop.paused() if isinstance(shop.redis, ClusterRedis) else nullcontext():  # all nodes at once
            shop.redis.empty()


class NodeEmptied(RedisLoss):
    """One node of a Cluster comes back without its data; the others have theirs."""

    name = "cluster-node"
    noticed = "^Waiting for Redis: "
    logged = (r"^Redis lost a part of its data: (1\d|2\d) of the 64 parts .*nextbasket rebuild --from-scratch$",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        assert isinstance(shop.redis, ClusterRedis)
        shop.redis.lose(rng.randrange(3))

    def end(self, shop: Shop) -> None:
        assert isinstance(shop.redis, ClusterRedis)
        shop.redis.restart()

    @staticmethod
    def repair(shop: Shop) -> None:
        """Begin from scratch, without workers; anything less is refused."""
        with pytest.raises(AssertionError, match="--from-scratch"):
            nextbasket(shop.variables, "rebuild")
        shop.stop()
        nextbasket(shop.variables, "rebuild", "--from-scratch")
        shop.lost = checks.lost(shop)
        mark = shop.mark([])
        for worker in shop.workers:
            worker.start()
        shop.wait_for_members()
        shop.require_no_loss_logged(mark, [])


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


class PrimaryReplaced(RedisLoss):
    """A Sentinel promotes the replica; what workers write to the old primary meanwhile, if anything, is lost."""

    def prepare(self, shop: Shop) -> None:
        assert isinstance(shop.redis, SentinelRedis)
        shop.redis.wait_until_replicated()

    def after(self, shop: Shop, mark: Mark) -> None:
        if checks.histories_differ(shop):
            shop.require_logged("^Redis lost its last ", mark)
            shop.require_counted("redis_losses_total", mark)
        self.repair(shop)


class SentinelFailsOver(PrimaryReplaced):
    """The Sentinel promotes the replica on demand, while the old primary is up."""

    name = "sentinel-failover"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        assert isinstance(shop.redis, SentinelRedis)
        shop.redis.fail_over()


class PrimaryHung(PrimaryReplaced):
    """SIGSTOP of the primary, until the Sentinel has promoted the replica; then it takes writes until it is demoted."""

    name = "sentinel-hang"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        assert isinstance(shop.redis, SentinelRedis)
        hung = psutil.Process(shop.redis.primary.pid)
        hung.suspend()
        try:
            shop.redis.wait_until_promoted()
        finally:
            hung.resume()
