"""Batches of valid events that are a thousand times as large as they are compressed do not fill a worker's memory."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from state.settings import Settings
from state.store.redis.store import RedisStore
from stream.kafka.topics import ensure_topics
from tests.integration.workers import Worker
from tests.services.choice import Service
from tests.services.group import wait_until

EVENTS = {"gzip": 110, "snappy": 12, "lz4": 110, "zstd": 330}
"""Of a batch, 900 KB each; the broker takes 2 MB of a batch as it is compressed."""
EVENT_BYTES = 900_000
MOST_BYTES = 300_000_000

pytestmark = pytest.mark.timeout(500)


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Worker]:
    one = Worker(
        environment | {"NEXTBASKET_PARTITIONS": str(len(EVENTS)), "NEXTBASKET_WINDOW": "1000"}, tmp_path / "worker.log"
    )
    yield one
    one.end()


def send_one_batch(brokers: str, topic: str, codec: str, partition: int) -> None:
    """Valid events in one batch."""
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "compression.type": codec,
            "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
            "linger.ms": 5_000,
            "log_level": 0,
        }
    )
    failed: list[object] = []
    for number in range(EVENTS[codec]):
        event = {
            "invoice_no": str(number),
            "customer_id": codec,
            "invoice_date": "2011-12-09T12:50:00Z",
            "lines": [{"stock_code": "A", "quantity": 1, "unit_price": 1.0}],
            "note": "x" * EVENT_BYTES,
        }
        producer.produce(
            topic,
            json.dumps(event).encode(),
            partition=partition,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    assert producer.flush(120) == 0
    assert not failed


def test_a_worker_stays_below_300_mb(kafka: Service, settings: Settings, worker: Worker) -> None:
    if not kafka.real:
        pytest.skip("the embedded broker does not take such batches")
    ensure_topics(settings)
    for partition, codec in enumerate(EVENTS):
        send_one_batch(kafka.address, settings.topics.invoices, codec, partition)
    worker.start()
    assert worker._process is not None
    pid = worker._process.pid

    def all_there() -> bool:
        with closing(RedisStore(settings)) as store:
            states = store.customers(list(EVENTS))
        return all(
            state is not None and len(state.history.invoices) == EVENTS[codec]
            for codec, state in zip(EVENTS, states, strict=True)
        )

    def alive() -> None:
        assert worker.ended() is None, worker.log_tail()

    wait_until(all_there, "all events are in the histories", 240, alive)
    assert high_water(pid) < MOST_BYTES, f"the worker took {high_water(pid) / 1e6:.0f} MB"
    assert worker.stop() == 0


def high_water(pid: int) -> int:
    """The most bytes that a process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
