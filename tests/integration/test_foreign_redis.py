"""Whatever Redis holds under our keys, every reader answers or refuses with a sentence, in bounded memory."""

import random
import resource
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from redis import Redis

from state.domain.identities import Identities
from state.errors import StateError
from state.events.shop_dialect import shop_dialect
from state.events.wire import Decoder
from state.settings import Settings, load_settings
from state.store.claim import claim_store
from state.store.protocol import DueEntry
from state.store.redis.due_index import RedisDueIndex
from state.store.redis.identities import RedisIdentities
from state.store.redis.letters import RedisLetters
from state.store.redis.refresh_progress import RedisRefreshProgress
from state.store.redis.sent_due import RedisSentDue
from state.store.redis.store import RedisStore
from stream.messages import Message
from stream.pipeline.refresh_plan import decode_shard
from stream.tools.refresh_status import next_request
from stream.tools.traces import forget_letters, forget_progress
from tests.services.choice import Service
from tests.unit.stream.harness import CLOCK, invoice

CUSTOMERS = ["anna", "bert", "carl"]
ROUNDS = 100
MEMORY_MB = 100

HUGE = [
    b"\xdd\xff\xff\xff\xff",  # MessagePack: an array of 4 billion, which is not there
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\x91" * 200_000 + b"\x01",  # nested
    b"[" * 100_000,
    b"9" * 5_000,
    b"1e999",
    b"-1",
    b"nan",
    b"",
    b"\xff\xfe\x00",
    b"{}",
    b"null",
]


class Readers:
    """What workers, the API and the commands read, each with all that it needs."""

    def __init__(self, settings: Settings, closes: ExitStack) -> None:
        self.settings = settings
        self.store = closes.enter_context(closing(RedisStore(settings)))
        self.due = closes.enter_context(closing(RedisDueIndex(settings)))
        self.letters = closes.enter_context(closing(RedisLetters(settings)))
        self.identities = closes.enter_context(closing(RedisIdentities(settings)))
        self.progress = closes.enter_context(closing(RedisRefreshProgress(settings)))
        self.sent = closes.enter_context(closing(RedisSentDue(settings)))
        decoder = Decoder(settings)
        self.event = decoder.decode(
            msgspec.json.encode(invoice("next", "anna", "2011-12-09T12:00:00Z", "TEA")), now=int(CLOCK)
        )

    def fill(self) -> None:
        decoder = Decoder(self.settings)
        events = [
            invoice(f"{customer}-{day}", customer, f"2011-12-0{day}T12:00:00Z", "TEA", f"X{day}", country="France")
            for customer in CUSTOMERS
            for day in range(1, 9)
        ]
        invoices = [decoder.decode(msgspec.json.encode(event), now=int(CLOCK)) for event in events]
        self.store.apply(invoices, clock_ms=int(CLOCK * 1000))
        claim_store(self.store, shop_dialect(self.settings))
        self.due.record([DueEntry(customer, 1, b"\0" * 64) for customer in CUSTOMERS])
        self.due.set_complete(True)
        self.letters.put({"invoices:0:1": msgspec.msgpack.encode(Message("t", b"k", b"v", (("reason", b"r"),)))})
        self.identities.restore(Identities({"old": "anna", "older": "old"}))
        self.progress.ask("2011-12-09T12:50:00.000Z")
        self.progress.save({0: b"{}"})
        self.sent.record("2011-12-09:7", CUSTOMERS)

    def each(self) -> dict[str, Callable[[], Any]]:
        store = self.store
        return {
            "history": lambda: [store.history(customer) for customer in CUSTOMERS],
            "customers": lambda: store.customers(CUSTOMERS),
            "revisions": lambda: store.revisions(CUSTOMERS),
            "snapshots": lambda: store.snapshots(CUSTOMERS),
            "ids": lambda: list(store.customer_ids()),
            "histories": lambda: list(store.histories()),
            "recommendation": lambda: [store.recommendation(customer) for customer in CUSTOMERS],
            "last": lambda: store.last_recommendations(CUSTOMERS),
            "recommendations": lambda: list(store.recommendations()),
            "items": lambda: (store.items(), store.items(1)),
            "now": store.now,
            "mark": store.mark,
            "dialect": store.dialect,
            "due": lambda: (list(self.due.shards(8, with_rest=True)), self.due.is_complete()),
            "letters": lambda: (self.letters.count(), self.letters.first(10), forget_letters(self.letters, "zoe")),
            "identities": self.identities.all,
            "lookup": lambda: self.identities.lookup(["older", "anna", "zoe"]),
            "aliases": lambda: store.current_ids(["older", "zoe"]),
            "progress": lambda: (
                [decode_shard(packed) for packed in self.progress.load().values()],
                forget_progress(self.progress, "zoe"),
            ),
            "asked": lambda: next_request(datetime.now(UTC), self.progress.asked()),
            "sent": lambda: self.sent.unsent("2011-12-09:7", CUSTOMERS),
            "apply": lambda: store.apply([self.event], clock_ms=int(CLOCK * 1000)),
        }


@pytest.fixture
def readers(settings: Settings) -> Iterator[Readers]:
    with ExitStack() as closes:
        readers = Readers(settings, closes)
        readers.fill()
        yield readers


def damage(client: Any, key: bytes, other: bytes, chance: random.Random) -> str:
    """Put something foreign in the place of a key, or into a part of it; returns what, in words."""
    kind = client.type(key).decode()
    hostile = chance.choice([*HUGE, chance.randbytes(chance.randrange(1, 200))])
    way = chance.choice(["type", "content", "content", "content", "field", "flip", "flip", "other"])
    if way == "other":
        client.copy(other, key, replace=True)
    elif way == "type":
        client.delete(key)
        others: list[Callable[[], object]] = [
            lambda: client.set(key, hostile),
            lambda: client.hset(key, "x", hostile),
            lambda: client.rpush(key, hostile),
            lambda: client.sadd(key, hostile),
            lambda: client.zadd(key, {hostile: 1}),
            lambda: client.xadd(key, {"x": hostile}),
        ]
        chance.choice(others)()
    elif kind == "string":
        client.set(key, flipped(client.get(key), chance) if way == "flip" else hostile)
    elif kind == "hash":
        field, value = chance.choice(list(client.hgetall(key).items()))
        if way == "field":
            client.hset(key, hostile, value)
        else:
            client.hset(key, field, flipped(value, chance) if way == "flip" else hostile)
    elif kind == "set":
        client.sadd(key, hostile)
    elif kind == "zset":
        client.zadd(key, {hostile: chance.random()})
    else:
        client.xadd(key, {chance.choice([b"c", b"codes", b"x", b"v"]): hostile})
    return f"{way} of {key!r} ({kind}): {hostile[:20]!r}"


def flipped(content: bytes, chance: random.Random) -> bytes:
    if not content:
        return b"\0"
    position = chance.randrange(len(content))
    return content[:position] + bytes([content[position] ^ (1 << chance.randrange(8))]) + content[position + 1 :]


def refused(read: Callable[[], Any]) -> str:
    """The sentence by which a reader refuses, '' where it answers, a traceback where it does neither."""
    try:
        read()
    except StateError as error:
        return str(error)
    except Exception:
        return traceback.format_exc(limit=-3)
    return ""


def test_readers_answer_or_refuse_with_a_sentence(readers: Readers, settings: Settings, redis: Service) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    with Redis.from_url(redis.address) as client:
        keys = sorted(client.scan_iter(f"{settings.key_prefix}*", count=1_000))
        dumps = {key: client.dump(key) for key in keys}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(ROUNDS):
            key = keys[number % len(keys)]
            what = damage(client, key, chance.choice([one for one in keys if one != key]), chance)
            for name, read in readers.each().items():
                refusal = refused(read)
                assert len(refusal) < 2_000, f"seed {seed}: {name} says too much after {what}"
                assert not refusal.startswith("Traceback"), f"seed {seed}: {name} fails after {what}: {refusal}"
            for changed in client.scan_iter(f"{settings.key_prefix}*", count=1_000):
                client.delete(changed)
            for one, dump in dumps.items():
                client.restore(one, 0, dump, replace=True)
            readers.store.reconnect()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEMORY_MB, f"seed {seed}"


def test_the_keys_of_another_namespace_are_not_read(readers: Readers, environment: dict[str, str]) -> None:
    other = load_settings(environment | {"NEXTBASKET_NAMESPACE": readers.settings.namespace + "x"})
    with closing(RedisStore(other)) as store:
        assert store.customers(CUSTOMERS) == [None] * len(CUSTOMERS)
        assert list(store.customer_ids()) == []
        assert list(store.recommendations()) == []
