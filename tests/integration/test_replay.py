"""``nextbasket replay``: a table into Kafka, and resumed after an interruption."""

import csv
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from state.settings import Settings
from tests.integration.topic import read_topic
from tests.integration.workers import NEXTBASKET, clean_environment
from tests.services.choice import Service
from tests.services.group import wait_until
from tests.services.process import free_port

LIMIT_S = 90.0
COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
INVOICES = 120

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three lines an invoice, one invoice an hour, a new day every ten; a few dirty rows."""
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(INVOICES):
            day, hour = divmod(number, 10)
            for line in range(3):
                customer = "" if number % 17 == 0 else str(12_000 + number % 7)
                quantity = "two" if number % 23 == 0 and line == 2 else str(line + 1)
                date = f"2011-11-{day + 1:02d} {hour + 8:02d}:00"
                writer.writerow(
                    [500_000 + number, f"A{line}", f"ITEM {line}", quantity, date, "1.5", customer, "France"]
                )
    return path


def replay(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [NEXTBASKET, "replay", *arguments],
        env=clean_environment(variables),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def contents(kafka: Service, settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(message.value()) for message in read_topic(kafka.address, settings.topics.invoices)]


def test_every_row_arrives_with_the_customer_as_key(
    environment: dict[str, str], settings: Settings, kafka: Service, table: Path
) -> None:
    done = replay(environment, str(table))
    assert done.returncode == 0, done.stderr
    assert f"Sent 360 events to {settings.topics.invoices} in " in done.stdout
    messages = read_topic(kafka.address, settings.topics.invoices)
    assert len(messages) == 360
    partitions_of: dict[bytes, set[int]] = {}
    for message in messages:
        line = json.loads(message.value())
        customer = line["CustomerID"]
        assert message.key() == (None if customer is None else customer.encode())
        if customer is not None:
            partitions_of.setdefault(message.key(), set()).add(message.partition())
    assert all(len(partitions) == 1 for partitions in partitions_of.values())
    assert sum(json.loads(message.value())["Quantity"] is None for message in messages) == 6


def test_a_span_of_whole_invoices(environment: dict[str, str], settings: Settings, kafka: Service, table: Path) -> None:
    done = replay(environment, str(table), "--shape", "invoices", "--from", "2011-11-02", "--to", "2011-11-04T10:00")
    assert done.returncode == 0, done.stderr
    invoices = contents(kafka, settings)
    assert len(invoices) == 22
    assert min(one["invoice_date"] for one in invoices) == "2011-11-02T08:00:00Z"
    assert max(one["invoice_date"] for one in invoices) == "2011-11-04T09:00:00Z"
    assert all(len(one["lines"]) == 3 for one in invoices)


def test_an_interrupted_replay_is_resumed_from_its_checkpoint(
    environment: dict[str, str], settings: Settings, kafka: Service, table: Path, tmp_path: Path
) -> None:
    state = tmp_path / "checkpoint.json"
    arguments = [NEXTBASKET, "replay", str(table), "--state", str(state), "--rate", "60"]
    process = subprocess.Popen(
        arguments, env=clean_environment(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def done_events() -> int:
        return int(json.loads(state.read_bytes())["done"]) if state.exists() else 0

    wait_until(lambda: done_events() > 60, "a part of it is sent", LIMIT_S)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, error
    assert "call it again to go on" in error
    before = done_events()
    assert 60 < before < 360
    done = replay(environment, str(table), "--state", str(state))
    assert done.returncode == 0, done.stderr
    assert f"Sent {360 - before} events" in done.stdout
    assert f"({before} were sent before)" in done.stdout
    lines = contents(kafka, settings)
    assert len({(line["InvoiceNo"], line["StockCode"]) for line in lines}) == 360
    assert "Sent 0 events" in replay(environment, str(table), "--state", str(state)).stdout


def test_the_checkpoint_of_another_replay_is_refused(environment: dict[str, str], table: Path, tmp_path: Path) -> None:
    state = tmp_path / "checkpoint.json"
    assert replay(environment, str(table), "--state", str(state), "--to", "2011-11-02").returncode == 0
    other = replay(environment, str(table), "--state", str(state))
    assert other.returncode == 4
    assert "belongs to a replay of another table" in other.stderr
    state.write_text("hello")
    assert "no checkpoint of a replay" in replay(environment, str(table), "--state", str(state)).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--rate", "5", "--speed", "5"], 2, "exclude each other"),
        (["--from", "soon"], 2, "'soon' is no date"),
        (["--shape", "boxes"], 2, "boxes"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    environment: dict[str, str], table: Path, arguments: list[str], code: int, sentence: str
) -> None:
    done = replay(environment, str(table), *arguments)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_that_is_not_there_and_a_broker_that_is_not_there(
    environment: dict[str, str], table: Path, tmp_path: Path
) -> None:
    missing = replay(environment, str(tmp_path / "nothing.csv"))
    assert missing.returncode == 4
    assert "nothing.csv" in missing.stderr
    nowhere = f"127.0.0.1:{free_port()}"
    unreachable = replay(environment | {"NEXTBASKET_KAFKA_BROKERS": nowhere}, str(table))
    assert unreachable.returncode == 5
    assert nowhere in unreachable.stderr
    for done in (missing, unreachable):
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr


def test_no_file_is_left_next_to_the_table(environment: dict[str, str], table: Path) -> None:
    before = set(table.parent.iterdir())
    assert replay(environment, str(table), "--to", "2011-11-02").returncode == 0
    assert set(table.parent.iterdir()) == before
