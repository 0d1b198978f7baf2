"""The Redis of a measurement: one server, or a Cluster of three nodes, with what each of them has spent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from redis import Redis

from tests.contract.cluster import RedisCluster
from tests.services.redis import RedisServer


@dataclass(frozen=True)
class Spent:
    """What a server has spent so far: processor seconds, commands of clients, bytes of its data."""

    cpu_s: float
    commands: int
    bytes: int

    def since(self, before: "Spent") -> "Spent":
        """What was spent between two readings."""
        return Spent(self.cpu_s - before.cpu_s, self.commands - before.commands, self.bytes - before.bytes)

    def without(self, cpu_s: float) -> "Spent":
        """The same without some processor seconds."""
        return Spent(max(0.0, self.cpu_s - cpu_s), self.commands, self.bytes)


class RedisServers:
    """One server, or the three nodes of a Cluster; ``url`` once started."""

    def __init__(self, folder: Path, *, cluster: bool) -> None:
        self._cluster = RedisCluster(folder) if cluster else None
        self._single = None if cluster else RedisServer(folder / "single", fsync="everysec")
        self.nodes: list[RedisServer] = list(self._cluster.nodes) if self._cluster else []
        if self._single is not None:
            self.nodes = [self._single]
        self.url = ""

    def __enter__(self) -> Self:
        if self._cluster is not None:
            self._cluster.start()
            self.url = self._cluster.url
        if self._single is not None:
            self._single.start()
            self.url = self._single.url
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.stop()

    def spent(self) -> list[Spent]:
        """What each server has spent."""
        return [_spent(node) for node in self.nodes]

    def empty(self) -> None:
        """Remove all keys."""
        for node in self.nodes:
            with Redis(port=node.port, socket_timeout=60) as client:
                client.flushall()


def _spent(node: RedisServer) -> Spent:
    with Redis(port=node.port, socket_timeout=60) as client:
        commands = sum(
            int(figures["calls"])
            for name, figures in client.info("commandstats").items()
            if name.startswith("cmdstat_") and name not in ("cmdstat_info", "cmdstat_ping")
        )
        size = int(client.info("memory")["used_memory"])
    return Spent(sum(psutil.Process(node.pid).cpu_times()[:2]), commands, size)
