"""Producers of many kinds: every codec, with and without transactions, some of which are aborted."""

import json
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer

from tests.integration.storefront import Event

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
CHUNK = 25
"""Events of one transaction."""
LIMIT_S = 120.0


def send(
    brokers: str,
    topic: str,
    events: Sequence[Event],
    rng: random.Random,
    *,
    seconds: float,
    hurry: threading.Event,
) -> None:
    """Send events in chunks, each with one of the codecs; a third of the chunks in transactions.

    Before a transaction is committed, one with the same events and a sale that never was is aborted.
    """
    plain = {codec: Producer(_config(brokers, codec)) for codec in rng.sample(CODECS, 2)}
    start = time.monotonic()
    for begin in range(0, len(events), CHUNK):
        while time.monotonic() - start < seconds * begin / len(events) and not hurry.is_set():
            time.sleep(0.01)
        chunk = events[begin : begin + CHUNK]
        if rng.random() < 1 / 3:
            config = _config(brokers, rng.choice(CODECS)) | {
                "transactional.id": f"{topic}-{rng.random()}",
                "message.timeout.ms": 50_000,  # below that of the transaction
            }
            _Transactions(config, topic).send(chunk, rng)
        else:
            _send(plain[rng.choice(list(plain))], topic, chunk)


def _config(brokers: str, codec: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": brokers,
        "enable.idempotence": True,
        "compression.type": codec,
        "message.max.bytes": 2_000_000,
        "message.timeout.ms": 240_000,
        "log_level": 0,
    }


def _send(producer: Producer, topic: str, events: Sequence[Event], partition: int = -1) -> None:
    """Produce events and wait until all are confirmed."""
    errors: list[Any] = []
    for event in events:
        producer.produce(
            topic, event.value, event.key, partition=partition, on_delivery=lambda error, _: errors.append(error)
        )
        producer.poll(0)
    producer.flush(240)
    if failed := next(filter(None, errors), None):
        raise KafkaException(failed)
    assert len(errors) == len(events)


def send_to(brokers: str, topic: str, events: Sequence[Event], partition: int) -> None:
    """Send events to one partition."""
    _send(Producer(_config(brokers, "none")), topic, events, partition)


class _Transactions:
    """Sends chunks in transactions; where Kafka fails in one, it is aborted and sent again by a new producer."""

    def __init__(self, config: dict[str, Any], topic: str) -> None:
        self._config = config
        self._topic = topic
        self._producer = Producer(config)

    def send(self, chunk: Sequence[Event], rng: random.Random) -> None:
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                self._producer.init_transactions(30)
                self._producer.begin_transaction()
                _send(self._producer, self._topic, [*chunk, _never(rng)])
                self._producer.abort_transaction(30)
                self._producer.begin_transaction()
                _send(self._producer, self._topic, chunk)
                self._commit(deadline)
                return
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                # A new producer with the same id makes Kafka abort what is open.
                self._producer = Producer(self._config)

    def _commit(self, deadline: float) -> None:
        while True:
            try:
                self._producer.commit_transaction(30)
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise


def _never(rng: random.Random) -> Event:
    """A sale in a transaction that is aborted: its customer must stay unknown."""
    invoice = {
        "invoice_no": f"never-{rng.randrange(10**9)}",
        "customer_id": "77777",
        "invoice_date": "2011-06-01T10:00:00Z",
        "lines": [{"stock_code": "22613", "quantity": 2, "unit_price": 0.85}],
    }
    return Event(json.dumps(invoice).encode(), b"77777")
