"""Another worker that takes partitions while answers wait for further lines leaves none of them out."""

from pathlib import Path

import pytest
from confluent_kafka import Producer

from state.settings import Settings
from state.store.redis.store import RedisStore
from tests.integration.test_settling import CUSTOMERS, published, send_lines
from tests.integration.workers import LIMIT_S, Worker
from tests.services.choice import Service
from tests.services.group import Group, wait_until

pytestmark = pytest.mark.timeout(240)


def test_a_worker_that_joins_while_answers_wait_and_then_loses_the_other_leaves_none_out(
    environment: dict[str, str], settings: Settings, kafka: Service, tmp_path: Path
) -> None:
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    environment = environment | {"NEXTBASKET_SETTLE_MS": "3000"}
    first, second = (Worker(environment, tmp_path / f"{name}.log") for name in ("first", "second"))
    store = RedisStore(settings)
    ids = [str(12_000 + customer) for customer in range(CUSTOMERS)]

    def waiting() -> int:
        return sum(one is not None and one.published != one.revision for one in store.snapshots(ids))

    def alive() -> None:
        for worker in (first, second):
            assert worker.ended() is None, worker.log_tail()

    try:
        first.start()
        wait_until(lambda: "Worker started" in first.log_tail(), "the topics are there", LIMIT_S)
        second.start()
        sent = send_lines(producer, settings, 1)
        wait_until(lambda: waiting() > 0, "answers wait", LIMIT_S, alive)
        wait_until(lambda: "Worker started" in second.log_tail(), "the second is in the group", LIMIT_S, alive)
        sent += send_lines(producer, settings, 2)
        wait_until(lambda: waiting() == CUSTOMERS, "answers wait", LIMIT_S, alive)
        first.kill()
        wait_until(lambda: group.done() == sent, "everything is answered and committed", LIMIT_S)
        newest = {customer_id: max(revisions) for customer_id, revisions in published(kafka, settings).items()}
        for one in store.snapshots(ids):
            assert one is not None
            assert one.published == one.revision == newest[one.history.customer_id]
        assert second.stop() == 0
    finally:
        first.end()
        second.end()
        store.close()
        group.close()
