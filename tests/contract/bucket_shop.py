"""A shop on a Redis Cluster for tests of its buckets of items: events, stores, and processes that are killed."""

import uuid
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import pytest
from redis.cluster import RedisCluster

from state import DAY, CustomerHistory, Invoice, Settings
from state.store.redis.layout import ITEM_BUCKETS, item_bucket
from state.store.redis.store import RedisStore
from tests.contract.test_store import CLOCK, invoice, line

CODES = [
    next(code for code in map("A{}".format, count(100 * number)) if item_bucket(code) == number % ITEM_BUCKETS)
    for number in range(2 * ITEM_BUCKETS)
]
"""Two of each bucket."""
CUSTOMERS = ["applied", "waiting", "not trimmed", "both", "later"]
Dump = dict[str, tuple[int, bytes]]
"""Time to live and contents by key, without the namespace."""


class Killed(BaseException):
    """Ends a process wherever it is."""


def sales(number: int, *customers: str) -> list[Invoice]:
    """An invoice a customer; what each adds to an item is the same, so that the sums are equal in any order."""
    shift = 5 * number
    return [
        invoice(
            f"{number}{customer}",
            DAY * min(number, 2),
            *(line(CODES[(shift + 7 * place + step) % len(CODES)], price=1.0 + number) for step in (0, 3, 7, 11)),
            customer=customer,
        )
        for place, customer in enumerate(customers)
    ]


FIRST = [sales(1, *CUSTOMERS[:4]), sales(2, "applied")]
NOT_APPLIED = sales(3, "waiting", "both")
NOT_TRIMMED = sales(4, "not trimmed", "both")
LATER = sales(5, *CUSTOMERS)
AGAIN = [NOT_APPLIED, NOT_TRIMMED, LATER]
"""What Kafka delivers after the kills."""


class Shop:
    """The namespace of one test on a Cluster, and its stores."""

    def __init__(self, clients: tuple[RedisCluster, RedisCluster]) -> None:
        self._clients: tuple[Any, Any] = clients
        self.namespace = f"t{uuid.uuid4().hex[:10]}"

    def store(self, client: int = 0) -> RedisStore:
        """A store of this version."""
        return RedisStore(Settings(redis_url="redis+cluster://unused", namespace=self.namespace), self._clients[client])

    def older(self, client: int = 1) -> RedisStore:
        """A store that has all items in one slot."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("state.store.redis.item_layout.RedisCluster", int)
            return self.store(client)

    def scan(self) -> list[bytes]:
        return list(self._clients[0].scan_iter(f"{self.namespace}:*", count=1000))

    def dump(self) -> Dump:
        found = {}
        for key in self.scan():
            ttl, value = self._clients[0].pttl(key), self._clients[0].dump(key)
            assert value is not None
            found[key.decode().partition(":")[2]] = (max(0, ttl), value)
        return found

    def values(self) -> dict[str, bytes]:
        """Contents by key, without the namespace."""
        return {key: value for key, (_, value) in self.dump().items()}

    def restore(self, dump: Dump) -> None:
        with self._clients[0].pipeline() as pipeline:
            for key, (ttl, value) in dump.items():
                pipeline.restore(f"{self.namespace}:{key}", ttl, value)
            pipeline.execute()

    def remove(self) -> None:
        with self._clients[0].pipeline() as pipeline:
            for key in self.scan():
                pipeline.unlink(key)
            pipeline.execute()


def contents(shop: Shop) -> tuple[list[dict[bytes, bytes]], int | None, list[CustomerHistory], list[bytes]]:
    """The items of each bucket byte by byte, the greatest date, the histories and the outboxes."""
    store = shop.store()
    buckets = [store._client.hgetall(bucket.state) for bucket in store._keys.buckets]
    histories = sorted(store.histories(), key=lambda history: history.customer_id)
    return buckets, store.now(), histories, [key for key in shop.scan() if b":o:" in key]


def go_on(shop: Shop, *batches: list[Invoice]) -> Any:
    """What a new worker makes of what is delivered again."""
    store = shop.store()
    for batch in batches or AGAIN:
        store.apply(batch, clock_ms=CLOCK)
    return contents(shop)


def kill(*_: object) -> None:
    raise Killed


def move(store: RedisStore, at: int, act: Callable[[], object], *, sent: bool = False) -> bool:
    """Moves the items; see ``interrupted``."""
    return interrupted(store, store._layout.prepare, at, act, sent=sent)


def interrupted(
    store: RedisStore, run: Callable[[], object], at: int, act: Callable[[], object], *, sent: bool = False
) -> bool:
    """Runs something and acts at a call to Redis, before it or once it was answered; whether it came so far."""
    client: Any = store._client
    calls = count(1)
    reached = False

    def step(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        nonlocal reached
        is_it = next(calls) == at
        reached = reached or is_it
        if is_it and not sent:
            act()
        reply = call(*arguments, **options)
        if is_it and sent:
            act()
        return reply

    def pipeline(**options: Any) -> Any:
        made = type(client).pipeline(client, **options)
        made.execute = partial(step, made.execute)
        return made

    client.execute_command, client.pipeline = partial(step, client.execute_command), pipeline
    try:
        run()
    except Killed:
        pass
    finally:
        del client.execute_command, client.pipeline
    return reached
