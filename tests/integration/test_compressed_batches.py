"""Batches of valid events that are a hundred times as large as they are compressed do not fill a worker's memory."""

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

PARTITIONS = 4
EVENTS = 110
EVENT_BYTES = 900_000
MOST_BYTES = 400_000_000

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Worker]:
    one = Worker(environment | {"NEXTBASKET_PARTITIONS": str(PARTITIONS)}, tmp_path / "worker.log")
    yield one
    one.end()


def send_one_batch(brokers: str, topic: str, codec: str, partition: int, first: int) -> None:
    """100 MB of valid events in one batch, compressed to less than 1 MB."""
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "compression.type": codec,
            "message.max.bytes": 500_000_000,
            "batch.size": 400_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
            "linger.ms": 3_000,
            "log_level": 0,
        }
    )
    failed: list[object] = []
    for number in range(EVENTS):
        line = {"stock_code": "A", "quantity": 1, "unit_price": 1.0}
        event = {
            "invoice_no": f"{first}-{number}",
            "customer_id": f"{partition}-{number % 10}",
            "invoice_date": "2011-12-09T12:50:00Z",
            "lines": [line],
            "note": "x" * EVENT_BYTES,
        }
        producer.produce(
            topic,
            json.dumps(event).encode(),
            partition=partition,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    assert producer.flush(60) == 0
    assert not failed


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_a_worker_stays_below_400_mb(codec: str, kafka: Service, settings: Settings, worker: Worker) -> None:
    if not kafka.real:
        pytest.skip("the embedded broker does not take such batches")
    ensure_topics(settings)
    for number in range(2 * PARTITIONS):
        partition = number % PARTITIONS
        send_one_batch(kafka.address, settings.topics.invoices, codec, partition, number)
    worker.start()
    assert worker._process is not None
    pid = worker._process.pid

    customers = [f"{partition}-{number}" for partition in range(PARTITIONS) for number in range(10)]

    def all_there() -> bool:
        with closing(RedisStore(settings)) as store:
            states = store.customers(customers)
        return all(state is not None and len(state.history.invoices) >= 2 * EVENTS // 10 for state in states)

    def alive() -> None:
        assert worker.ended() is None, worker.log_tail()

    wait_until(all_there, "all events are in the histories", 120, alive)
    assert high_water(pid) < MOST_BYTES, f"the worker took {high_water(pid) / 1e6:.0f} MB"
    assert worker.stop() == 0


def high_water(pid: int) -> int:
    """The most bytes that a process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
