"""``nextbasket erase`` and ``merge``: nothing names the person any more, and nothing brings them back."""

import io
import json
import re
import struct
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from redis import Redis

from state.domain.identities import Pseudonyms
from state.errors import StoreUnavailable
from state.events.wire import Decoder
from state.settings import Settings, load_settings
from state.store.redis.store import RedisStore
from stream.cli.main import main
from stream.kafka.config import EMBEDDED_API_VERSION
from stream.kafka.customer_log import read_customer_log
from stream.kafka.topic_reader import read_topic as read_invoices
from stream.kafka.topics import ensure_topics
from stream.tools.embedded import embedded_kafka, embedded_redis
from tests.integration.topic import read_topic
from tests.integration.workers import Worker
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.unit.stream.harness import invoice
from training.registry import Registry
from training.serving.baselines.customer_keys import CustomerKeys

LIMIT_S = 90.0
KEY = "0123456789abcdef" * 4
ANNA, ANNA_BEFORE = "anna-4711", "till-customer-4712"
TRACES = (ANNA.encode(), ANNA_BEFORE.encode(), b"ANNAS-INVOICE")
"""Her ids, and how the numbers of her invoices begin."""

pytestmark = [pytest.mark.timeout(300)]


def events() -> list[dict[str, Any]]:
    """Invoices of Anna under both ids, and of others, over the same items."""
    found = []
    for number in range(180):
        customer = (ANNA, ANNA_BEFORE, *(f"c{n}" for n in range(10)))[number % 12]
        name = "ANNAS-INVOICE" if number % 12 < 2 else "invoice"
        date = f"2011-{number % 12 + 1:02d}-{number % 28 + 1:02d}T10:00:00Z"
        found.append(invoice(f"{name}-{number}", customer, date, f"A{number % 7}", f"B{number % 5}"))
    return found


def send(kafka: Service, topic: str, some: list[dict[str, Any]]) -> None:
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    for event in some:
        producer.produce(topic, json.dumps(event).encode(), str(event["customer_id"]).encode())
    assert producer.flush(30) == 0


def contents(client: Any, key: bytes) -> Iterator[bytes]:
    """The key, and every byte string under it."""
    yield key
    kind = client.type(key)
    if kind == b"string":
        yield client.get(key)
    elif kind == b"hash":
        yield from (each for pair in client.hgetall(key).items() for each in pair)
    elif kind == b"zset":
        yield from client.zrange(key, 0, -1)
    elif kind == b"set":
        yield from client.smembers(key)
    elif kind == b"stream":
        yield from (each for _, fields in client.xrange(key) for each in fields.values())


def unpacked(content: bytes) -> Iterator[bytes]:
    """The bytes, and what they are where they are compressed."""
    yield content
    for bits in (zlib.MAX_WBITS, zlib.MAX_WBITS | 16, -zlib.MAX_WBITS):
        try:
            yield zlib.decompress(content, bits)
        except zlib.error:
            continue


def found_in_redis(redis: Service, settings: Settings) -> list[bytes]:
    """The keys that name Anna, or hold something that does."""
    with Redis.from_url(redis.address) as client:
        return [
            key
            for key in client.scan_iter(f"{settings.key_prefix}*", count=1_000)
            if any(trace in text for content in contents(client, key) for text in unpacked(content) for trace in TRACES)
        ]


def found_in(kafka: Service, topic: str) -> list[Any]:
    """The records of a topic that name Anna, in key, value or headers."""
    return [
        record
        for record in read_topic(kafka.address, topic)
        if any(
            trace in (content or b"")
            for content in (record.key(), record.value(), *(value for _, value in record.headers() or ()))
            for trace in TRACES
        )
    ]


def others_in(kafka: Service, topic: str) -> Counter[tuple[bytes, bytes, int]]:
    """Key, value and timestamp of the valid records that do not name Anna."""
    return Counter(
        (record.key(), record.value(), record.timestamp()[1])
        for record in read_topic(kafka.address, topic)
        if not any(trace in (content or b"") for content in (record.key(), record.value()) for trace in TRACES)
        and b'"lines": []' not in (record.value() or b"")
    )


@pytest.fixture
def shop(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The variables of a shop with an erasure key, for its worker and for commands in this process."""
    variables = environment | {"NEXTBASKET_ERASURE_KEY": KEY, "NEXTBASKET_CACHE": str(tmp_path / "cache")}
    monkeypatch.delenv("NEXTBASKET_DATA", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def nextbasket(shop: dict[str, str], capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command in this process, which must succeed; returns what it printed."""

    def run(*arguments: str) -> str:
        capfd.readouterr()
        code = main(arguments)
        printed = capfd.readouterr()
        assert code == 0, f"{arguments} ended with {code}: {printed.err}"
        return printed.out

    return run


def found_in_files(folder: Path, *more: bytes) -> list[str]:
    """The files that name Anna, or hold something that does, also inside archives and compressed."""

    def contents_of(content: bytes) -> Iterator[bytes]:
        yield from unpacked(content)
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                yield from (archive.read(name) for name in archive.namelist())

    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    return [
        str(path.relative_to(folder))
        for path in files
        if any(
            trace in str(path).encode() or any(trace in each for each in contents_of(path.read_bytes()))
            for trace in (*TRACES, *more)
        )
    ]


def in_bundles(customer: str) -> bytes:
    """What the bundles of similar customers have of a customer: the first bytes of the pseudonym."""
    CustomerKeys.use(Pseudonyms(KEY))
    return struct.pack("<Q", CustomerKeys.of_process().key(customer))


def customers(histories: str) -> list[str]:
    return [json.loads(line)["customer_id"] for line in histories.splitlines()]


@pytest.mark.durable  # the embedded broker deletes no records
def test_an_erased_customer_is_nowhere_and_nothing_brings_the_person_back(
    shop: dict[str, str],
    settings: Settings,
    kafka: Service,
    redis: Service,
    nextbasket: Callable[..., str],
    tmp_path: Path,
) -> None:
    topics = settings.topics
    worker = Worker(shop, tmp_path / "worker.log")
    group = Group(kafka.address, settings.group, topics.invoices)
    sent = events()
    receipt = tmp_path / "receipt.json"
    bad = [{**invoice("ANNAS-INVOICE-bad", ANNA, "2011-01-01T10:00:00Z", "A1"), "lines": []}]
    others = [{**invoice("bad", "c1", "2011-01-01T10:00:00Z", "A1"), "lines": []}]

    def processed() -> None:
        def ends() -> int:
            admin = Consumer({"bootstrap.servers": kafka.address, "group.id": "ends", "log_level": 0})
            numbers = admin.list_topics(topics.invoices, timeout=10).topics[topics.invoices].partitions
            found = [admin.get_watermark_offsets(TopicPartition(topics.invoices, each))[1] for each in numbers]
            admin.close()
            return sum(found)

        wait_until(lambda: group.done() >= ends(), "all events are processed", LIMIT_S)

    try:
        worker.start()
        wait_until(lambda: group.members() > 0, "the worker has its partitions", LIMIT_S)
        send(kafka, topics.invoices, sent + bad + others)
        processed()  # a score needs a recommendation that was there before its invoice
        send(kafka, topics.invoices, [invoice("ANNAS-INVOICE-9", ANNA, "2011-12-30T10:00:00Z", "A1")])  # scored
        nextbasket("merge", ANNA_BEFORE, ANNA)
        processed()
        for topic in (topics.invoices, topics.dead_letter, topics.scores, topics.recommendations):
            assert found_in(kafka, topic), topic
        assert found_in_redis(redis, settings)
        nextbasket("train", "--model", "up_cf")
        assert any("neighbours" in file for file in found_in_files(tmp_path, in_bundles(ANNA)))
        before = nextbasket("export", "histories")
        assert len(customers(before)) == 11

        printed = nextbasket("erase", ANNA_BEFORE, "--receipt", str(receipt))
        assert "of 2 ids" in printed
        assert found_in_redis(redis, settings) == []
        assert "1 dead letter of erased customers passed over" in nextbasket("redrive", "--reason", "nothing")
        send(kafka, topics.invoices, sent)  # as a reset of offsets does
        processed()
        assert found_in_redis(redis, settings) == []
        after = nextbasket("export", "histories")
        assert after.splitlines() == [line for line in before.splitlines() if ANNA not in line]
        kept = len(read_topic(kafka.address, topics.dead_letter))

        remaining = others_in(kafka, topics.invoices), others_in(kafka, topics.scores)
        printed = nextbasket("erase", ANNA, "--rewrite", "--receipt", str(receipt))
        assert "genuine" in nextbasket("erase", ANNA, "--verify", str(receipt))
        processed()
        for topic in (topics.invoices, topics.dead_letter, topics.scores):
            assert found_in(kafka, topic) == [], topic
        assert others_in(kafka, topics.invoices) == remaining[0]
        assert set(remaining[1]) <= set(others_in(kafka, topics.scores))
        assert len(read_topic(kafka.address, topics.dead_letter)) == kept - 1
        assert nextbasket("export", "histories") == after
        newest = {record.key(): record for record in read_topic(kafka.address, topics.recommendations)}
        assert newest[ANNA.encode()].value() is None
        assert newest[ANNA_BEFORE.encode()].value() is None
        (tombstone,) = {record.key(): record for record in found_in(kafka, topics.customers)}.values()
        assert tombstone.value() is None or tombstone.key() == f"merged:{ANNA_BEFORE}".encode()
        assert worker.stop() == 0
    finally:
        group.close()
        worker.end()
    # Files: the registry, the cache, the receipt, and the log of the worker.
    assert main(["train", "--model", "up_cf"]) in (0, 1)  # whether it is promoted
    trained = Registry(settings.registry_url).versions()[-1].version
    nextbasket("models", "promote", trained)
    nextbasket("models", "prune")
    assert trained in {one.version for one in Registry(settings.registry_url).versions()}
    assert found_in_files(tmp_path, in_bundles(ANNA), in_bundles(ANNA_BEFORE)) == []
    assert read_customer_log(load_settings(shop)).aliases == {}

    # Whoever sends, reads or trains on the old events again does not bring the person back.
    send(kafka, topics.invoices, sent)
    log = read_invoices(load_settings(shop), clock=int(time.time()), known=read_customer_log(load_settings(shop)))
    assert log.erased == 30
    assert {one.customer_id for one in log.invoices} == {f"c{number}" for number in range(10)}
    with Redis.from_url(redis.address) as client:
        client.unlink(*client.scan_iter(f"{settings.key_prefix}*", count=1_000))
    assert "30 events of erased customers passed over" in nextbasket("rebuild")
    assert found_in_redis(redis, settings) == []
    assert nextbasket("export", "histories") == after


@pytest.mark.parametrize(
    "command",
    [
        ("export", "histories", "--data", "{table}"),
        ("replay", "{table}"),
        ("rebuild", "--no-topic", "--data", "{table}"),
        ("train", "--model", "up_cf", "--data", "{table}"),
        ("evaluate", "--from", "2011-11-30", "--to", "2012-01-01", "--models", "count_demand", "--data", "{table}"),
    ],
    ids=lambda command: command[0],
)
def test_every_reader_of_tables_counts_what_it_passes_over(
    command: tuple[str, ...], nextbasket: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nextbasket("erase", ANNA)
    table = tmp_path / "table.csv"
    rows = [
        f"{event['invoice_no']},{line['stock_code']},1,{event['invoice_date'][:16].replace('T', ' ')},2.5,"
        f"{event['customer_id']}"
        for event in events()
        for line in event["lines"]
    ]
    table.write_text("\n".join(["InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID", *rows]))
    capfd.readouterr()
    assert main([part.format(table=table) for part in command]) in (0, 1)  # whether a model is promoted
    printed = capfd.readouterr()
    assert re.search(r"\b(15|30) (invoice|event|row|line)s of erased customers", printed.out + printed.err)
    assert ANNA not in printed.out


def test_an_erasure_that_ends_half_way_says_so_and_the_same_command_completes_it(
    nextbasket: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("Redis went away.")

    with monkeypatch.context() as outage:
        outage.setattr(RedisStore, "remove", away)
        assert main(["erase", ANNA]) == 5
    assert "The erasure is not complete: call the same command again." in capfd.readouterr().err
    assert read_customer_log(load_settings()).erasure(ANNA) is not None
    assert "listed as" in nextbasket("erase", ANNA)


def test_commands_without_the_key_do_not_run_once_somebody_is_erased(
    nextbasket: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    nextbasket("erase", ANNA)
    monkeypatch.delenv("NEXTBASKET_ERASURE_KEY")
    for command in ("rebuild", "worker"):
        assert main([command]) in (3, 5), command
        assert "NEXTBASKET_ERASURE_KEY_FILE" in capfd.readouterr().err, command


def test_on_the_embedded_services_a_customer_is_erased_but_no_topic_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with embedded_kafka() as brokers, embedded_redis() as url:
        for name, value in {
            "KAFKA_BROKERS": brokers,
            "KAFKA_API_VERSION": EMBEDDED_API_VERSION,
            "REDIS_URL": url,
            "REGISTRY": str(tmp_path / "registry"),
            "ERASURE_KEY": KEY,
        }.items():
            monkeypatch.setenv(f"NEXTBASKET_{name}", value)
        settings = load_settings()
        decoder = Decoder(settings)
        with closing(RedisStore(settings)) as store:
            bought = decoder.decode(json.dumps(invoice("1", ANNA, "2011-12-01T10:00:00Z", "A")).encode(), now=2**40)
            store.apply([bought], clock_ms=1)
            assert main(["erase", ANNA]) == 0
            assert store.history(ANNA) is None
        ensure_topics(settings)
        producer = Producer({"bootstrap.servers": brokers, "log_level": 0})
        producer.produce(settings.topics.invoices, json.dumps(invoice("1", ANNA, "2011-12-01T10:00:00Z", "A")), ANNA)
        assert producer.flush(10) == 0
        assert main(["erase", ANNA, "--rewrite"]) == 5
        assert "embedded broker" in capfd.readouterr().err
        assert main(["erase", ANNA, "--readmit"]) == 0
