"""A shop under test: Kafka, Redis, a registry, the workers, and what was sent."""

import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import AdminClient

from state.settings import load_settings
from state.store.redis.store import RedisStore
from tests.faults.producers import send
from tests.faults.redis_services import RedisService
from tests.integration.reference import Row
from tests.integration.storefront import Event, Storefront
from tests.integration.test_kafka_outage import WatchedWorker
from tests.integration.topic import read_topic
from tests.services.group import Group, wait_until
from tests.services.kafka import KafkaServer
from training.registry import Registry

WINDOW = 20
PARTITIONS_PER_WORKER = 2
STALL_S = 150.0
LOSSES = r"^Redis lost |^Redis is empty|^Redis evicted |deleted and made again|deleted by the retention"
"""Lines of a log about what was lost."""

# A clock that jumps: it is changed by a signal, after the offset was written to a file.
WORKER = """
import pathlib, signal, sys, time

right, offset = time.time, 0.0


def jump(*_):
    global offset
    offset = float(pathlib.Path({file!r}).read_text())


time.time = lambda: right() + offset
signal.signal(signal.SIGUSR1, jump)
from stream.cli.main import main

sys.exit(main(["worker"]))
"""


class FaultyWorker(WatchedWorker):
    """A worker that can be killed, stopped, paused, and given a wrong clock."""

    def __init__(self, variables: dict[str, str], log: Path) -> None:
        super().__init__(variables, log)
        self._clock = log.with_suffix(".clock")
        self.log.touch()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", WORKER.format(file=str(self._clock))],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return 0 if self._process is None else self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def set_clock(self, offset_s: float) -> None:
        """Let the clock of the process jump, as far from the right time as given."""
        self._clock.write_text(str(offset_s))
        self.send_signal(signal.SIGUSR1)

    def metric(self, name: str) -> float:
        """The value of a metric, given with its labels; 0 where it has none."""
        if self._process is None:
            return 0.0
        found = re.search(rf"^nextbasket_{re.escape(name)} (\S+)$", self.get("metrics")[1], re.M)
        return float(found[1]) if found else 0.0


class Record(NamedTuple):
    """An event of the topic, and where it is."""

    partition: int
    offset: int
    key: bytes | None
    event: Event


class Lost(NamedTuple):
    """The revision of each published recommendation that Redis does not have, and the scores that were never sent.

    A score is (rec_id, invoice number). A rebuild sends none.
    """

    recommendations: dict[str, int]
    scores: frozenset[tuple[str, str]]


class Mark(NamedTuple):
    """The sizes of the logs, and the process of each worker with the values of some metrics, at one time."""

    logs: dict[Path, int]
    metrics: dict[tuple[int, str], float]


class Shop:
    """The servers, the workers, and the events that were sent.

    Attributes:
        known: Each event that was sent, by its value.
        deleted: What the topic had, and workers had processed, before it was deleted and made again.
        lost: What Redis lost and nothing restores before the customer's next event.
    """

    def __init__(
        self,
        kafka: KafkaServer,
        redis: RedisService,
        folder: Path,
        storefront: Storefront,
        namespace: str,
        *,
        workers: int = 2,
    ) -> None:
        self.partitions = PARTITIONS_PER_WORKER * workers
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.kafka = kafka
        self.redis = redis
        self.storefront = storefront
        self.variables = {
            "NEXTBASKET_KAFKA_BROKERS": kafka.brokers,
            "NEXTBASKET_REDIS_URL": redis.url,
            "NEXTBASKET_REGISTRY": str(folder / "registry"),
            "NEXTBASKET_REGISTRY_POLL_SECONDS": "0.5",
            "NEXTBASKET_NAMESPACE": namespace,
            "NEXTBASKET_DIALECT": storefront.dialect,
            "NEXTBASKET_WINDOW": str(WINDOW),
            "NEXTBASKET_PARTITIONS": str(self.partitions),
            "NEXTBASKET_BATCH_MAX": "32",  # many batches, so that many steps can be interrupted
            "NEXTBASKET_LOG_FORMAT": "json",
        }
        self.settings = load_settings(self.variables)
        self.topic = self.settings.topics.invoices
        self.registry = Registry(self.settings.registry_url)
        self.workers = [self._worker() for _ in range(workers)]
        self.group = Group(kafka.brokers, self.settings.group, self.topic)
        self.known: dict[bytes | None, Event] = {}
        self.deleted: list[Record] = []
        self.lost = Lost({}, frozenset())
        self.hurry = threading.Event()

    def _worker(self) -> FaultyWorker:
        number = len(list(self.folder.glob("worker-*.log")))
        return FaultyWorker(self.variables, self.folder / f"worker-{number}.log")

    def start(self) -> None:
        """Start the workers and wait until all have partitions."""
        for worker in self.workers:
            worker.start()
        wait_until(lambda: len(self.group.partitions()) == self.partitions, "the topics are there", STALL_S, self.alive)
        self.wait_for_members()

    def add_worker(self) -> FaultyWorker:
        """One worker more, started."""
        worker = self._worker()
        self.workers.append(worker)
        worker.start()
        return worker

    def wait_for_members(self) -> None:
        """Wait until every worker has partitions: a fault of one without any would test nothing."""
        running = sum(worker.pid != 0 for worker in self.workers)
        wait_until(lambda: self.group.members() == running, f"{running} workers share the work", STALL_S, self.alive)

    def send(self, events: list[Event], rng: random.Random, seconds: float) -> None:
        """Send events with some producer, spread over some seconds unless ``hurry`` is set; all must be processed."""
        self.known |= {event.value: event for event in events}
        send(self.kafka.brokers, self.topic, events, rng, seconds=seconds, hurry=self.hurry)

    def records(self) -> list[Record]:
        """What the topic has and had, without aborted transactions."""
        found = read_topic(self.kafka.brokers, self.topic)
        return self.deleted + [
            Record(one.partition(), one.offset(), one.key(), self.known[one.value()]) for one in found
        ]

    def rows(self) -> list[Row]:
        """The lines of the valid events."""
        return [row for record in self.records() for row in record.event.rows]

    def settle(self) -> None:
        """Wait until the workers have committed the end of every partition, and none has more than its end."""
        wait_until(lambda: self.group.unread() == 0, "all events are processed", STALL_S, self.alive)

    def alive(self) -> None:
        """Require that no worker ended by itself."""
        for worker in self.workers:
            assert worker.ended() is None, f"a worker ended with {worker.ended()}:\n{worker.log_tail()}"

    def mark(self, metrics: list[str]) -> Mark:
        """The logs and metrics as of now."""
        return Mark(
            {log: log.stat().st_size for log in self.folder.glob("worker-*.log")},
            {(worker.pid, name): worker.metric(name) for worker in self.workers for name in metrics},
        )

    def messages(self, since: Mark | None = None) -> Iterator[tuple[str, str]]:
        """Level and message of each log line of all workers; what is no line of the log has the level ``RAW``."""
        for log in sorted(self.folder.glob("worker-*.log")):
            with log.open("rb") as file:
                file.seek(since.logs.get(log, 0) if since else 0)
                for line in file.read().decode(errors="replace").splitlines():
                    with contextlib.suppress(ValueError):
                        record = json.loads(line)
                        text = record["message"] + (record.get("exc_info") or "")
                        yield "RAW" if record.get("exc_info") else record["level"], text
                        continue
                    yield "RAW", line

    def require_logged(self, pattern: str, since: Mark) -> None:
        """Wait until a line of a log matches."""
        wait_until(
            lambda: any(re.search(pattern, text) for _, text in self.messages(since)),
            f"a log has a line like {pattern!r}",
            20.0,
        )

    def require_no_loss_logged(self, since: Mark, but: Sequence[str]) -> None:
        """Require that no log has a line about a loss, except those that match some patterns."""
        for _, text in self.messages(since):
            assert not re.search(LOSSES, text) or any(re.search(pattern, text) for pattern in but), (
                f"nothing was lost, and a log has: {text}"
            )

    def require_counted(self, name: str, since: Mark) -> None:
        """Wait until a metric of some worker is higher than it was."""
        wait_until(
            lambda: any(
                worker.metric(name) > since.metrics.get((worker.pid, name), 0.0)
                for worker in self.workers
                if worker.pid
            ),
            f"the metric {name} rises",
            20.0,
        )

    @contextlib.contextmanager
    def store(self) -> Iterator[RedisStore]:
        """The store of the workers."""
        with contextlib.closing(RedisStore(self.settings)) as store:
            yield store

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop all workers for a moment (SIGSTOP)."""
        running = [worker for worker in self.workers if worker.pid]
        for worker in running:
            worker.send_signal(signal.SIGSTOP)
        time.sleep(0.5)  # what they have sent is done
        try:
            yield
        finally:
            for worker in running:
                worker.send_signal(signal.SIGCONT)

    def admin(self) -> AdminClient:
        """A client that may change topics."""
        return AdminClient({"bootstrap.servers": self.kafka.brokers, "log_level": 0})

    def stop(self) -> list[int]:
        """Stop the workers in order; returns their exit codes."""
        return [worker.stop() for worker in self.workers if worker.pid]

    def end(self) -> None:
        """End whatever runs."""
        for worker in self.workers:
            worker.end()
        self.group.close()
