"""A real Redis Cluster of three redis-server processes on the loopback interface."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from redis import Redis
from redis.exceptions import RedisError

from tests.services import redis as redis_service
from tests.services.errors import ServiceError
from tests.services.process import free_port

SLOTS = 16_384
START_S = 30.0


def missing() -> str | None:
    """Why no cluster can run here, or None."""
    if redis_service.missing_tools():
        return "a Redis Cluster needs redis-server on the PATH"
    if int(redis_service.version().split(".")[0]) < 7:
        return "a Redis Cluster of these tests needs redis-server 7"
    return None


class Node(Protocol):
    """A server of a Cluster."""

    port: int
    bus_port: int

    def start(self) -> None:
        """Start it."""

    def stop(self) -> None:
        """End it and remove its data."""

    def client(self) -> Redis:
        """A client with all rights."""


class PlainNode(redis_service.RedisServer):
    """A server without passwords and without TLS."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, fsync="no")
        self.bus_port = free_port()

    def client(self) -> Redis:
        """A client with all rights."""
        return Redis(port=self.port, socket_timeout=5)

    def _command(self) -> list[str]:
        return [*super()._command(), "--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)]


AnyNode = TypeVar("AnyNode", bound=Node)


class Cluster(Generic[AnyNode]):
    """Primaries that share the slots."""

    def __init__(self, nodes: Sequence[AnyNode]) -> None:
        self.nodes = list(nodes)

    def start(self) -> None:
        """Start the nodes, introduce them to each other and give each a third of the slots."""
        for node in self.nodes:
            node.start()
        clients = [node.client() for node in self.nodes]
        try:
            for index, client in enumerate(clients):
                first, end = SLOTS * index // len(clients), SLOTS * (index + 1) // len(clients)
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)  # type: ignore[no-untyped-call]
            for node in self.nodes[1:]:
                meet = ("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
                clients[0].execute_command(*meet)  # type: ignore[no-untyped-call]
            self._wait(clients)
        finally:
            for client in clients:
                client.close()

    def stop(self) -> None:
        """End the nodes and remove their data."""
        for node in self.nodes:
            node.stop()

    @staticmethod
    def _wait(clients: list[Redis]) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            try:
                states = [dict(client.cluster("INFO")) for client in clients]
            except RedisError:
                states = []
            known = str(len(clients))
            if states and all(s["cluster_state"] == "ok" and s["cluster_known_nodes"] == known for s in states):
                return
            time.sleep(0.05)
        raise ServiceError("the Redis Cluster did not come together")


class RedisCluster(Cluster[PlainNode]):
    """Three primaries, ``nodes``, that share the slots; ``url`` once started."""

    def __init__(self, folder: Path) -> None:
        super().__init__([PlainNode(folder / str(index)) for index in range(3)])
        self.url = f"redis+cluster://127.0.0.1:{self.nodes[1].port},127.0.0.1:{self.nodes[0].port}"
