"""How many lines a second one Redis takes: script calls of workers, recorded and then sent by several processes.

The calls are those of ``RedisStore.apply``. They are recorded on the same Redis, which is then emptied, so that the
heads that a call compares are those that it finds. So a client costs next to nothing and Redis alone is measured.
"""

import multiprocessing
import socket
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.connection import Connection

from bench.scaling.servers import RedisServers
from state.events.invoice import Invoice
from state.settings import Settings
from state.store.redis.client import connect
from state.store.redis.store import RedisStore

CLIENTS = 4
ACCEPTED = b"*0\r\n"
"""The reply to a call of which everything was written."""


@dataclass
class Saturation:
    """Lines that one Redis wrote, by the clock and by its processor time, in seconds."""

    name: str
    lines: int
    calls: int
    seconds: float
    cpu_s: float

    @property
    def lines_a_core(self) -> float:
        """Lines a second of a core that Redis has for itself."""
        return self.lines / self.cpu_s


class _Recorder:
    """A client that also records the calls of scripts, as bytes of Redis' protocol."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._packer = Connection()  # type: ignore[no-untyped-call]
        self.calls: list[bytes] = []

    def evalsha(self, *arguments: Any) -> Any:
        packed = self._packer.pack_command("EVALSHA", *arguments)  # type: ignore[no-untyped-call]
        self.calls.append(b"".join(packed))
        return self._client.evalsha(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def single_lines(invoices: Sequence[Invoice]) -> list[Invoice]:
    """Each line as an event of its own."""
    return [msgspec.structs.replace(invoice, lines=(line,)) for invoice in invoices for line in invoice.lines]


def saturate(redis: RedisServers, name: str, events: Sequence[Invoice], batch: int) -> Saturation:
    """Write the events once for each client, each with customers of its own, in batches of so many events."""
    redis.empty()
    settings = Settings(redis_url=redis.url)
    recorded = [_recorded(settings, _renamed(events, f"{client}-"), batch) for client in range(CLIENTS)]
    redis.empty()
    port = redis.nodes[0].port
    context = multiprocessing.get_context("fork")
    begin = context.Barrier(CLIENTS + 1)
    senders = [context.Process(target=_send, args=(port, calls, begin)) for calls in recorded]
    for sender in senders:
        sender.start()
    begin.wait(60)
    (before,), began = redis.spent(), time.perf_counter()
    for sender in senders:
        sender.join()
    seconds, (after,) = time.perf_counter() - began, redis.spent()
    if any(sender.exitcode for sender in senders):
        raise RuntimeError("Redis did not take a recorded call as it took it before")
    lines = CLIENTS * sum(len(event.lines) for event in events)
    return Saturation(name, lines, sum(map(len, recorded)), seconds, after.since(before).cpu_s)


def _renamed(events: Sequence[Invoice], prefix: str) -> list[Invoice]:
    return [msgspec.structs.replace(event, customer_id=f"{prefix}{event.customer_id}") for event in events]


def _recorded(settings: Settings, events: Sequence[Invoice], batch: int) -> list[bytes]:
    recorder = _Recorder(connect(settings))
    with closing(RedisStore(settings, recorder)) as store:
        for start in range(0, len(events), batch):
            store.apply(events[start : start + batch], clock_ms=1)
    return recorder.calls


def _send(port: int, calls: Sequence[bytes], begin: Any) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        begin.wait(60)
        for call in calls:
            connection.sendall(call)
            if connection.recv(4_096) != ACCEPTED:
                raise SystemExit(1)
