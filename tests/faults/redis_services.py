"""The Redis of a shop: one server behind an address, one that Sentinels fail over, or a Cluster of three."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from tests.contract.cluster import RedisCluster
from tests.services.group import wait_until
from tests.services.process import free_port
from tests.services.redis import RedisServer, SentinelServer, set_user
from tests.services.relay import Relay

LIMIT_S = 60.0
USER = "worker"
PASSWORD = "secret"


class RedisService(ABC):
    """What the faults do to Redis. ``url`` is for workers; ``primary`` is a server that they write to."""

    url: str
    primary: RedisServer

    @abstractmethod
    def start(self) -> None:
        """Start the servers."""

    @abstractmethod
    def stop(self) -> None:
        """End the servers."""

    @abstractmethod
    def servers(self) -> list[RedisServer]:
        """All servers that hold data of workers."""

    def admin(self, server: RedisServer | None = None) -> Redis:
        """A client of a server, the primary unless given, that may do everything."""
        return Redis(port=(server or self.primary).port, socket_timeout=10)

    def empty(self) -> None:
        """Remove all keys."""
        for server in self.servers():
            with self.admin(server) as client:
                client.flushall()


class _ServerWithUser(RedisServer):
    """A server that knows the workers' user whenever it starts."""

    def _command(self) -> list[str]:
        return [*super()._command(), "--user", USER, "on", f">{PASSWORD}", "~*", "+@all"]


class SingleRedis(RedisService):
    """A primary behind an address that outlives it. Workers have a user of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers = 0
        self._open = ExitStack()
        self.primary = self._server()
        self._relay = Relay(free_port(), "127.0.0.1", self.primary.port)
        self.url = f"redis://{USER}:{PASSWORD}@127.0.0.1:{self._relay.port}/0"

    def start(self) -> None:
        self._open.enter_context(self._relay)
        self.primary.start()

    def stop(self) -> None:
        self.primary.stop()
        self._open.close()

    def servers(self) -> list[RedisServer]:
        return [self.primary]

    def restart(self) -> None:
        """Bring a killed primary back."""
        self.primary.start()

    def add_replica(self) -> RedisServer:
        """Start a replica and wait until it has everything."""
        replica = self._server()
        replica.start()
        with self.admin(replica) as client:
            client.replicaof("127.0.0.1", str(self.primary.port))
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "it follows", LIMIT_S)
        return replica

    def cut_off(self, replica: RedisServer) -> None:
        """Let the replica miss all further writes, as behind a network that is slow or gone."""
        with self.admin(replica) as client:
            client.replicaof("NO", "ONE")

    def fail_over(self, replica: RedisServer) -> None:
        """The primary is gone at once, and the address leads to the replica."""
        self.primary.kill()
        self.primary = replica
        self._relay.target = ("127.0.0.1", replica.port)

    def set_user(self, *rules: str) -> None:
        """Change what the workers' user may do."""
        with self.admin() as client:
            set_user(client, *rules)

    def close_connections(self) -> None:
        """Close those of the workers."""
        with self.admin() as client:
            client.execute_command("CLIENT", "KILL", "USER", USER)

    def _server(self) -> RedisServer:
        self._servers += 1
        return _ServerWithUser(self._folder / f"redis-{self._servers}")


class SentinelRedis(RedisService):
    """A primary, a replica, and a Sentinel that workers ask for the primary."""

    def __init__(self, folder: Path) -> None:
        self.primary = RedisServer(folder / "primary")
        self._replica = RedisServer(folder / "replica")
        self._sentinel = SentinelServer(folder / "sentinel", self.primary.port)
        self.url = f"redis+sentinel://127.0.0.1:{self._sentinel.port}/shop/0"

    def start(self) -> None:
        self.primary.start()
        self._replica.start()
        with self.admin(self._replica) as client:
            client.replicaof("127.0.0.1", str(self.primary.port))
        self.wait_until_replicated()
        self._sentinel.start()
        with Redis(port=self._sentinel.port) as client:
            wait_until(lambda: bool(client.sentinel_slaves("shop")), "the Sentinel knows the replica", LIMIT_S)

    def stop(self) -> None:
        for server in (self._sentinel, self._replica, self.primary):
            server.stop()

    def servers(self) -> list[RedisServer]:
        return [self.primary]

    def wait_until_replicated(self) -> None:
        """Wait until the replica follows the primary: one that was demoted does after some 10 seconds."""
        with self.admin(self._replica) as client:
            wait_until(lambda: client.info("replication").get("master_link_status") == "up", "it follows", LIMIT_S)

    def fail_over(self) -> None:
        """Let the Sentinel promote the replica; the old primary follows it afterwards."""
        with Redis(port=self._sentinel.port) as client:
            wait_until(lambda: _failover_begins(client), "the failover begins", LIMIT_S)
        self.wait_until_promoted()

    def wait_until_promoted(self) -> None:
        """Wait until the replica is the primary."""
        with Redis(port=self._sentinel.port) as client:
            wait_until(
                lambda: client.sentinel_get_master_addr_by_name("shop")[1] == self._replica.port,
                "the replica is promoted",
                LIMIT_S,
            )
        self.primary, self._replica = self._replica, self.primary


def _failover_begins(sentinel: Redis) -> bool:
    try:
        return bool(sentinel.sentinel_failover("shop"))
    except ResponseError:  # no replica is known yet
        return False


class ClusterRedis(RedisService):
    """Three primaries that share the slots."""

    def __init__(self, folder: Path) -> None:
        self._cluster = RedisCluster(folder)
        self.primary = self._cluster.nodes[0]
        self.url = self._cluster.url

    def start(self) -> None:
        self._cluster.start()

    def stop(self) -> None:
        self._cluster.stop()

    def servers(self) -> list[RedisServer]:
        return list(self._cluster.nodes)

    def lose(self, number: int) -> None:
        """Kill a node, whose data is gone; it stays a member of the Cluster."""
        node = self._cluster.nodes[number]
        node.kill()
        shutil.rmtree(node.folder / "appendonlydir")
        self.primary = node

    def restart(self) -> None:
        """Bring the killed node back and wait until all slots are served."""
        self.primary.start()
        with self.admin() as client:
            wait_until(lambda: _serves(client), "the Cluster serves all slots", LIMIT_S)


def _serves(client: Redis) -> bool:
    try:
        return bool(dict(client.cluster("INFO"))["cluster_state"] == "ok")
    except RedisError:
        return False


SERVICES: dict[str, Callable[[Path], RedisService]] = {
    "single": SingleRedis,
    "cluster": ClusterRedis,
    "sentinel": SentinelRedis,
}
"""The kinds of Redis by name."""
