"""A worker that is killed while answers wait for further lines loses none of them."""

import json
import random
from pathlib import Path

import pytest
from confluent_kafka import Producer

from state.settings import Settings
from state.store.redis.store import RedisStore
from tests.integration.topic import read_topic
from tests.integration.workers import LIMIT_S, Worker
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.unit.stream.harness import invoice

CUSTOMERS = 60
LINES = 20

pytestmark = pytest.mark.timeout(240)


def send_lines(producer: Producer, settings: Settings, number: int) -> int:
    """An invoice of every customer, line by line, those of all customers mixed."""
    lines = [(str(12_000 + customer), f"C{number}{line:02d}") for customer in range(CUSTOMERS) for line in range(LINES)]
    random.Random(number).shuffle(lines)
    for customer, code in lines:
        event = invoice(f"{number}-{customer}", customer, f"2011-11-{number:02d}T10:00:00Z", code)
        producer.produce(settings.topics.invoices, json.dumps(event), customer)
    assert producer.flush(60) == 0
    return len(lines)


def published(kafka: Service, settings: Settings) -> dict[str, list[int]]:
    """The revisions of the recommendations of each customer."""
    found: dict[str, list[int]] = {}
    for message in read_topic(kafka.address, settings.topics.recommendations):
        answer = json.loads(message.value())
        found.setdefault(answer["customer_id"], []).append(answer["revision"])
    return found


def test_a_worker_that_is_killed_while_answers_wait_leaves_none_of_them_out(
    environment: dict[str, str], settings: Settings, kafka: Service, tmp_path: Path
) -> None:
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    worker = Worker(environment | {"NEXTBASKET_SETTLE_MS": "1000"}, tmp_path / "worker.log")
    store = RedisStore(settings)
    ids = [str(12_000 + customer) for customer in range(CUSTOMERS)]

    def applied(number: int) -> bool:
        states = store.customers(ids)
        return all(
            state is not None
            and any(
                invoice.invoice_no == f"{number}-{state.history.customer_id}" and len(invoice.lines) == LINES
                for invoice in state.history.invoices
            )
            for state in states
        )

    def alive() -> None:
        assert worker.ended() is None, worker.log_tail()

    try:
        worker.start()
        wait_until(lambda: "Worker started" in worker.log_tail(), "the topics are there", LIMIT_S, alive)
        sent = send_lines(producer, settings, 1)
        wait_until(lambda: group.done() == sent, "the first invoices are answered", LIMIT_S, alive)
        answered = published(kafka, settings)
        assert sorted(answered) == ids
        # Of twenty lines each: one answer, or a few where the machine was slow.
        assert sum(map(len, answered.values())) <= 5 * CUSTOMERS

        sent += send_lines(producer, settings, 2)
        wait_until(lambda: applied(2), "every line is applied", LIMIT_S, alive)
        pending = [one for one in store.snapshots(ids) if one is not None and one.published != one.revision]
        worker.kill()
        assert pending  # they waited when the worker was killed
        assert group.done() < sent

        worker.start()
        wait_until(lambda: group.done() == sent, "everything is answered and committed", LIMIT_S, alive)
        newest = {customer_id: max(revisions) for customer_id, revisions in published(kafka, settings).items()}
        for one in store.snapshots(ids):
            assert one is not None
            assert one.published == one.revision == newest[one.history.customer_id]
        assert worker.stop() == 0
    finally:
        worker.end()
        store.close()
        group.close()
