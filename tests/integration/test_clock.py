"""A worker whose clock is wrong, on a real Kafka and Redis."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from state.events.dates import to_iso
from state.settings import Settings
from tests.integration.test_kafka_outage import WatchedWorker
from tests.integration.topic import read_topic
from tests.integration.workers import Worker
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.unit.stream.harness import invoice

LIMIT_S = 60.0
DAY = 86_400
SHIFTED = """
import sys, time
right = time.time
time.time = lambda: right() + {seconds}
from stream.cli.main import main

sys.exit(main(["worker"]))
"""

pytestmark = pytest.mark.timeout(240)


class ShiftedWorker(WatchedWorker):
    """A worker on a machine whose clock is wrong."""

    def __init__(self, variables: dict[str, str], log: Path, seconds: int) -> None:
        super().__init__(variables, log)
        self._seconds = seconds

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SHIFTED.format(seconds=self._seconds)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@pytest.mark.parametrize("days", [-3, 3_650], ids=["three days behind", "ten years ahead"])
def test_a_worker_with_a_wrong_clock_waits_and_loses_no_event(
    environment: dict[str, str], settings: Settings, kafka: Service, tmp_path: Path, days: int
) -> None:
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    wrong = ShiftedWorker(environment, tmp_path / "wrong.log", days * DAY)
    right = Worker(environment, tmp_path / "right.log")
    wrong.start()
    try:
        wait_until(lambda: "Worker started" in wrong.log.read_text(), "it has started", LIMIT_S, wrong.assert_alive)
        producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
        for number in range(80):
            event = invoice(f"{number}", f"c{number}", to_iso(int(time.time())), "A", "B")
            producer.produce(settings.topics.invoices, json.dumps(event).encode(), f"c{number}".encode())
        assert producer.flush(30) == 0
        wait_until(lambda: "clock: " in wrong.get("readyz")[1], "it says that its clock is wrong", LIMIT_S)
        side = "behind" if days < 0 else "ahead of"
        assert re.search(rf" s {side} that of Redis", wrong.get("readyz")[1])
        pattern = r'^nextbasket_outage_seconds_total\{service="clock"\} (\S+)$'

        def waited() -> float:
            found = re.search(pattern, wrong.get("metrics")[1], re.M)
            return float(found[1]) if found else 0.0

        first = waited()
        wait_until(lambda: waited() > first + 2, "the metric rises while it waits", LIMIT_S)
        assert group.done() == 0
        assert [line for line in wrong.loud() if line.startswith("Waiting for clock: ")] == wrong.loud()[:1]
        assert wrong.stop() == 0
        assert read_topic(kafka.address, settings.topics.dead_letter) == []
        right.start()
        wait_until(lambda: group.done() == 80, "a right worker takes them", LIMIT_S)
        assert right.stop() == 0
        assert read_topic(kafka.address, settings.topics.dead_letter) == []
        assert len(read_topic(kafka.address, settings.topics.recommendations)) == 80
    finally:
        wrong.end()
        right.end()
        group.close()
