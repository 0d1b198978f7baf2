"""Records that only a foreign client sends: their headers, keys and timestamps delay and lose nothing."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from kafka import KafkaProducer

from state.settings import Settings
from stream.kafka.header_names import confluent_headers
from stream.kafka.topic_reader import TopicRecords
from stream.kafka.topics import ensure_topics
from tests.integration.topic import read_topic
from tests.integration.workers import NEXTBASKET, Worker, clean_environment
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.services.process import free_port
from tests.unit.stream.harness import invoice

LIMIT_S = 60.0
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class RawName(str):
    """A header name that is sent as other bytes; the client would encode it as UTF-8."""

    raw = b"\xff\xfetrace"

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


Headers = Sequence[tuple[str, bytes]]

FOREIGN: dict[str, tuple[bytes | None, Headers, int | None]] = {
    "a name that is not UTF-8": (b"c", [(RawName("x"), b"1"), ("traceparent", b"\xff")], None),
    "thousands of headers": (b"c", [("h", b"1")] * 5_000, None),
    "half a megabyte in one header": (b"c", [("h", b"x" * 500_000)], None),
    "empty and repeated names": (b"c", [("", b""), ("", b""), ("traceparent", b"")], None),
    "no key": (None, [], None),
    "a timestamp of 0": (b"c", [], 0),
}
"""What is odd about a record: its key, headers and timestamp in milliseconds."""


@pytest.fixture
def producer(kafka: Service, environment: dict[str, str]) -> Iterator[KafkaProducer]:
    version = environment.get("NEXTBASKET_KAFKA_API_VERSION")
    options: dict[str, Any] = {"api_version": tuple(map(int, version.split(".")))} if version else {}
    producer = KafkaProducer(bootstrap_servers=kafka.address, acks="all", compression_type="gzip", **options)
    yield producer
    producer.close()


def test_odd_records_are_processed_like_others(
    environment: dict[str, str], settings: Settings, kafka: Service, producer: KafkaProducer, tmp_path: Path
) -> None:
    environment = environment | {"NEXTBASKET_ERASURE_KEY": "0123456789abcdef" * 4}
    ensure_topics(settings)
    topics = settings.topics
    for number, (odd, (key, headers, timestamp)) in enumerate(FOREIGN.items()):
        event = msgspec.json.encode(invoice(str(number), f"c{number}", "2011-12-09T12:50:00Z", "A", note=odd))
        producer.send(topics.invoices, event, key, headers=list(headers), partition=0, timestamp_ms=timestamp)
    letter_headers = [("traceparent", PARENT), ("ce_id", b"7"), (RawName("x"), b"1"), ("reason", b"of another letter")]
    producer.send(topics.invoices, b"no JSON", b"c", headers=letter_headers, partition=0)
    for _ in range(50):  # so that the code that reads headers is specialized by CPython
        producer.send(topics.items, None, b"A", headers=letter_headers)
    producer.send(topics.items, b"no JSON", b"A", headers=letter_headers)
    producer.flush()
    events = len(FOREIGN) + 1
    worker = Worker(environment | {"NEXTBASKET_METRICS_PORT": str(port := free_port())}, tmp_path / "worker.log")
    group = Group(kafka.address, settings.group, topics.invoices)

    def alive() -> None:
        assert worker.ended() is None, worker.log_tail()

    def letters() -> list[Any]:
        return read_topic(kafka.address, topics.dead_letter)

    try:
        worker.start()
        wait_until(lambda: group.done() == events, "every record is processed", LIMIT_S, alive)
        wait_until(lambda: len(letters()) == 2, "the item is a dead letter", LIMIT_S, alive)
        assert metric(port, "nextbasket_unreadable_headers_total") == 2
        assert "header names that are not UTF-8, the first at offset 0 of" in worker.log_tail(100)
        of_invoice, of_item = sorted(letters(), key=lambda each: dict(each.headers())["source-topic"])
        assert [name for name, _ in of_invoice.headers()].count("reason") == 1
        assert of_invoice.headers()[-3:] == [("traceparent", PARENT), ("ce_id", b"7"), ("\\xff\\xfetrace", b"1")]
        assert "JSON" in dict(of_invoice.headers())["reason"].decode()
        assert dict(of_item.headers())["source-topic"].decode() == topics.items

        last = f"c{len(FOREIGN) - 1}"  # the records of others are sent again
        warned = nextbasket_exits_with(0, environment, "erase", last, "--rewrite")
        assert "Without the headers of 1 record" in warned
        nextbasket_exits_with(1, environment, "redrive", "--wait", "30")
        assert worker.stop() == 0
    finally:
        worker.end()
        group.close()
    customers = {message.key().decode() for message in read_topic(kafka.address, topics.recommendations)}
    assert customers == {f"c{number}" for number in range(len(FOREIGN))}
    with closing(TopicRecords(settings)) as topic:  # as training and rebuild read it
        records = [record for batch in topic for record in batch]
    assert len(records) == events - 1  # one was erased; the rewrite left the letter out, and redrive sent it back
    returned = [("traceparent", PARENT), ("ce_id", b"7"), ("\\xff\\xfetrace", b"1")]
    assert returned in [confluent_headers(message) for message in read_topic(kafka.address, topics.invoices)]


def metric(port: int, name: str) -> float:
    """A metric of a worker."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


def nextbasket_exits_with(code: int, variables: dict[str, str], *arguments: str) -> str:
    """Run a command to its end; returns what it printed to stderr."""
    done = subprocess.run(
        [NEXTBASKET, *arguments], env=clean_environment(variables), capture_output=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == code, done
    return done.stderr.decode()
