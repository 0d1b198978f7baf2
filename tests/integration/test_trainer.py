"""Training from the topic: invalid events are skipped, and an invoice in both table and topic counts once."""

import time
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from state.events.dates import to_iso
from state.events.invoice import THOUSAND, Invoice
from state.settings import Settings
from stream.kafka.config import confluent_config
from stream.kafka.topic_reader import TopicLog, read_topic
from stream.kafka.topics import ensure_topics
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.log import merge_logs
from training.data.simulator import simulate
from training.data.tables.invoice_table import from_frame
from training.progress import RecordedProgress, shown_by

pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")

BAD = [
    b"",
    b"not json",
    b"{}",
    b'{"invoice_no": "1", "lines": []}',
    b"\xff\xfe",
    b'{"InvoiceNo": "1", "Quantity": "many"}',
]


@pytest.fixture(scope="module")
def log() -> list[Invoice]:
    table = from_frame(simulate(customers=60, items=80, days=120, seed=11))
    return invoices(clean(table, Settings(dialect="uci")))


def whole(invoice: Invoice) -> bytes:
    """An invoice as a storefront sends it."""
    return msgspec.json.encode(
        {
            "invoice_no": invoice.invoice_no,
            "customer_id": invoice.customer_id,
            "invoice_date": to_iso(invoice.date),
            "country": invoice.attributes.get("country"),
            "lines": [
                {
                    "stock_code": line.stock_code,
                    "description": line.description,
                    "quantity": line.quantity / THOUSAND,
                    "unit_price": line.unit_price,
                }
                for line in invoice.lines
            ],
        }
    )


def send(settings: Settings, events: Iterable[tuple[str | None, bytes]]) -> None:
    failed: list[Any] = []
    producer = Producer(confluent_config(settings))
    for key, value in events:
        producer.produce(
            settings.topics.invoices,
            value,
            key,
            on_delivery=lambda error, message: failed.append(error) if error else None,
        )
        producer.poll(0)
    assert producer.flush(30) == 0
    assert failed == []


def clock() -> int:
    return int(time.time())


def test_a_missing_topic_is_empty_and_is_not_created(settings: Settings) -> None:
    assert read_topic(settings, clock=clock()) == TopicLog([])
    admin = AdminClient(confluent_config(settings))
    assert settings.topics.invoices not in admin.list_topics(timeout=10).topics


def test_a_topic_without_events_is_empty(settings: Settings) -> None:
    ensure_topics(settings)
    assert read_topic(settings, clock=clock()) == TopicLog([])


def test_the_topic_gives_the_log_that_was_sent(settings: Settings, log: list[Invoice]) -> None:
    ensure_topics(settings)
    send(settings, ((invoice.customer_id, whole(invoice)) for invoice in log))
    with shown_by(RecordedProgress()) as shown:
        found = read_topic(settings, clock=clock())
    assert (found.events, found.invalid) == (len(log), 0)
    assert shown.updates[-1] == (len(log), len(log), settings.topics.invoices)
    assert list(merge_logs(found.invoices)) == list(merge_logs(log))


def test_invalid_events_are_counted_and_skipped(settings: Settings, log: list[Invoice]) -> None:
    ensure_topics(settings)
    good = log[:50]
    send(settings, [(None, event) for event in BAD] + [(invoice.customer_id, whole(invoice)) for invoice in good])
    found = read_topic(settings, clock=clock())
    assert (found.events, found.invalid) == (len(good) + len(BAD), len(BAD))
    assert list(merge_logs(found.invoices)) == list(merge_logs(good))


def test_invoices_in_table_and_topic_count_once(settings: Settings, log: list[Invoice]) -> None:
    ensure_topics(settings)
    half = len(log) // 2
    twice = log[half - 40 :]
    send(settings, ((invoice.customer_id, whole(invoice)) for invoice in [*twice, *twice]))
    topic = read_topic(settings, clock=clock())
    assert topic.events == 2 * len(twice)
    assert list(merge_logs(log[:half], topic.invoices)) == list(merge_logs(log))


def test_train_reads_the_topic(
    environment: dict[str, str],
    settings: Settings,
    log: list[Invoice],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from stream.cli.exit_codes import ExitCode
    from stream.cli.main import main
    from training.registry import Registry

    # The topic alone: a table in the environment would be read, too.
    monkeypatch.delenv("NEXTBASKET_DATA", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ensure_topics(settings)
    send(settings, [("x", b"garbage"), *((invoice.customer_id, whole(invoice)) for invoice in log)])
    assert main(["train", "--model", "count_demand"]) in (ExitCode.OK, ExitCode.NEGATIVE)
    printed = capsys.readouterr().out
    assert f"{len(log) + 1:,} events, 1 of them invalid" in printed
    registry = Registry(settings.registry_url)
    current = registry.current()
    assert current is not None
    assert registry.manifest(current).data.since == to_iso(log[0].date)
