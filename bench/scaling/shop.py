"""A shop for measurements of groups of workers: its topics, its stored invoices, and workers as processes."""

import os
import pickle
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from types import MappingProxyType

import psutil
from confluent_kafka import Producer

from bench.stream.stages import metrics_text, sample
from bench.stream.variant import Event
from state.events.invoice import Invoice
from state.settings import Settings, load_settings
from stream.kafka.topics import ensure_topics, wanted_topics
from tests.services.group import Group, wait_until
from tests.services.process import free_port

LIMIT_S = 900.0
TURN_S = 0.5
TRANSACTION_LIMIT_MS = 600_000


class Worker:
    """A process of ``nextbasket worker``."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.metrics_port = free_port()
        variables = environment | {"NEXTBASKET_METRICS_PORT": str(self.metrics_port)}
        command = [sys.executable, "-m", "stream", "worker"]
        if shutil.which("setpriv"):  # a measurement that is itself killed leaves no worker behind
            command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, env=variables, stdout=output, stderr=output)
        self._watched = psutil.Process(self.process.pid)

    def cpu_s(self) -> float:
        """Processor time so far, in seconds."""
        return sum(self._watched.cpu_times()[:2])

    def resident_mb(self) -> float:
        """Resident memory in MB."""
        return float(self._watched.memory_info().rss / 1e6)

    def samples(self, *names: str) -> list[float]:
        """Samples of its metrics by their names and labels as they are printed; 0 where there is none."""
        text = metrics_text(self.metrics_port)
        return [sample(text, name) for name in names]

    def suspend(self) -> None:
        """Stop the process until ``resume``; one that has ended is left alone."""
        with suppress(psutil.NoSuchProcess):
            self._watched.suspend()

    def resume(self) -> None:
        """Let the process run; one that has ended is left alone."""
        with suppress(psutil.NoSuchProcess):
            self._watched.resume()

    def end(self) -> None:
        """End the process; SIGKILL where it does not end by itself."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def in_turns(workers: Sequence[Worker]) -> Iterator[None]:
    """Let one worker run at a time, for ``TURN_S``, so that each finds the caches of its core as it left them."""
    over = threading.Event()

    def take_turns() -> None:
        for number in count():
            if over.is_set():
                break
            workers[number % len(workers)].resume()
            over.wait(TURN_S)
            workers[number % len(workers)].suspend()

    for worker in workers:
        worker.suspend()
    turns = threading.Thread(target=take_turns)
    turns.start()
    try:
        yield
    finally:
        over.set()
        turns.join()
        for worker in workers:
            worker.resume()


class Shop:
    """One namespace on a Kafka and a Redis, with a model and the histories before what is sent.

    Args:
        folder: Where the registry and the logs of the workers are.
        brokers: Kafka.
        redis_url: Redis.
        model: A registry whose current model is served.
        dialect: Of the events.
        variables: More settings of the workers.
        topic_limits: Settings of all its topics.
    """

    def __init__(
        self,
        folder: Path,
        brokers: str,
        redis_url: str,
        model: Path,
        dialect: str,
        variables: Mapping[str, str] = MappingProxyType({}),
        topic_limits: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.namespace = f"bench-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        self._variables = {
            "NEXTBASKET_KAFKA_BROKERS": brokers,
            "NEXTBASKET_REDIS_URL": redis_url,
            "NEXTBASKET_NAMESPACE": self.namespace,
            "NEXTBASKET_REGISTRY": str(folder / "registry"),
            "NEXTBASKET_DIALECT": dialect,
            "NEXTBASKET_LOG_FORMAT": "json",
            "NEXTBASKET_REFRESH_AT": "never",
            **variables,
        }
        self.settings: Settings = load_settings(self._variables)
        shutil.copytree(model, folder / "registry" / self.namespace)
        topics = wanted_topics(self.settings)
        for topic in topics:
            topic.config = {**(topic.config or {}), **{name: str(value) for name, value in topic_limits.items()}}
        ensure_topics(self.settings, topics)
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "transactional.id": self.namespace,
                "transaction.timeout.ms": TRANSACTION_LIMIT_MS,
                "linger.ms": 5,
                "log_level": 0,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._producer.init_transactions(60)
        self._sent = 0

    @property
    def log(self) -> Path:
        """What the workers print."""
        return self._folder / f"{self.namespace}.log"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a worker, without its port."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
        return others | self._variables | {"PYTHONPATH": str(Path().resolve())}

    def store(self, invoices: Sequence[Invoice]) -> None:
        """Write histories into Redis, as events before the measurement would have."""
        stored = self._folder / "stored.pickle"
        stored.write_bytes(pickle.dumps(list(invoices)))
        script = Path(__file__).resolve().parent.parent / "stream" / "store_invoices.py"
        subprocess.run([sys.executable, str(script), str(stored)], env=self.environment, check=True)

    @contextmanager
    def workers(self, number: int, group: Group) -> Iterator[list[Worker]]:
        """A group of workers, which all have partitions."""
        started = [Worker(self.environment, self.log) for _ in range(number)]
        try:
            wait_until(lambda: group.members() == number, f"{number} workers have joined", LIMIT_S, self.alive(started))
            yield started
        finally:
            for worker in started:
                worker.end()

    def group(self) -> Group:
        """The consumer group of the workers."""
        return Group(self.settings.kafka_brokers, self.settings.group, self.settings.topics.invoices)

    def alive(self, workers: Sequence[Worker]) -> Callable[[], None]:
        """A check that no worker has ended."""

        def check() -> None:
            for worker in workers:
                if (code := worker.process.poll()) is not None:
                    output = self.log.read_text(errors="replace")[-3_000:]
                    raise RuntimeError(f"a worker ended with {code}:\n{output}")

        return check

    @contextmanager
    def preloaded(self, events: Sequence[Event]) -> Iterator[None]:
        """Have events in the topic which become visible all at once, when the block is left: in one transaction."""
        self._producer.begin_transaction()
        for key, value in events:
            self._producer.produce(self.settings.topics.invoices, value, key)
            self._producer.poll(0)
        if self._producer.flush(120):
            raise RuntimeError("Kafka does not take the events")
        yield
        self._producer.commit_transaction(60)
        self._sent += len(events)

    def drain(self, workers: Sequence[Worker], group: Group) -> None:
        """Wait until everything that was sent has been processed and committed."""
        partitions = self.settings.partitions

        def drained() -> bool:
            # The mark of the transaction is behind the last event of each partition, and nobody commits it. Right after
            # the commit Kafka may still report the ends before it, so that nothing seems to be unread.
            unread = group.unread()
            return unread is not None and unread <= partitions and group.done() >= self._sent

        wait_until(drained, "the group has processed everything", LIMIT_S, self.alive(workers))


@contextmanager
def opened(shop: Shop) -> Iterator[tuple[Shop, Group]]:
    """A shop and the group of its workers."""
    with closing(shop.group()) as group:
        yield shop, group
