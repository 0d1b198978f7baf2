"""Due customers on a real Kafka and Redis: the command, the topic, and what was sent before."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from state.domain.due import DueCustomer, due_schema
from state.settings import Settings
from state.store.redis.store import RedisStore
from stream.api.due_process import DueProcess
from stream.api.due_reader import OrderQuestion, ReadOrder
from stream.kafka.topics import ensure_topics
from stream.pipeline.due import DueQuery
from tests.integration.api_server import api_server
from tests.integration.topic import read_topic
from tests.integration.workers import NEXTBASKET, clean_environment
from tests.services.group import wait_until
from tests.unit.stream.test_due import NOW, purchase, regular
from training.serving.load import fallback_scorer

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def shop(settings: Settings) -> Iterator[RedisStore]:
    """Three customers: one of every 10 days, one of every week who is from France, and one who came once."""
    with closing(RedisStore(settings)) as store:
        store.apply(
            [
                *regular(0, "ten", 10, 9, price=2.0),
                *regular(100, "weekly", 7, 5, price=1.0, country="France"),
                purchase(200, "once", 100),
                purchase(201, "newest", 0),
            ],
            clock_ms=1,
        )
        yield store


def due(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [NEXTBASKET, "due", *arguments],
        env=clean_environment(variables),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def published(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(record.value()) for record in read_topic(settings.kafka_brokers, settings.topics.due)]


@pytest.mark.usefixtures("shop")
def test_the_list_is_printed_by_expected_value(environment: dict[str, str], settings: Settings) -> None:
    ensure_topics(settings)
    done = due(environment, "--within", "7d")
    assert done.returncode == 0, done.stderr
    listed = rows(done.stdout)
    assert [row["customer_id"] for row in listed[:2]] == ["ten", "weekly"]
    values = [float(row["expected_value"]) for row in listed]
    assert values == sorted(values, reverse=True)
    assert listed[1]["item_1_stock_code"] == "22613"
    assert json.loads(listed[1]["attributes"]) == {"country": "France"}
    assert "4 customers of 4 for the 7 days from 2011-12-09T00:00:00Z; 4 match." in done.stderr


@pytest.mark.usefixtures("shop")
def test_a_segment_and_a_limit_leave_customers_out_of_the_file(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "due.jsonl"
    done = due(environment, "--segment", "country=France", "--format", "json", "--output", str(path))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [json.loads(line)["customer_id"] for line in path.read_text().splitlines()] == ["weekly"]
    done = due(environment, "--limit", "2")
    assert len(rows(done.stdout)) == 2
    assert "2 customers of 4" in done.stderr


@pytest.mark.usefixtures("shop")
def test_a_second_run_on_the_same_day_publishes_only_who_was_not_sent(
    environment: dict[str, str], settings: Settings
) -> None:
    first = due(environment, "--publish", "--limit", "1")
    assert first.returncode == 0, first.stderr
    assert f"1 customer sent to {settings.topics.due}; 0 were sent before." in first.stderr
    second = due(environment, "--publish")
    assert "3 customers sent" in second.stderr
    assert "1 were sent before" in second.stderr
    messages = published(settings)
    assert sorted(message["customer_id"] for message in messages) == ["newest", "once", "ten", "weekly"]
    assert len({message["due_id"] for message in messages}) == 4
    known = set(due_schema()["$defs"]["DueCustomer"]["properties"])
    assert known == set(DueCustomer.__struct_fields__)
    assert set(messages[0]) <= known


@pytest.mark.usefixtures("shop")
def test_a_window_that_cannot_be_is_refused(environment: dict[str, str]) -> None:
    for arguments in (["--within", "91d"], ["--within", "36h"], ["--segment", "France"], ["--at", "2011-12-01"]):
        done = due(environment, *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
    assert "--at 2011-12-01T00:00:00Z is before the newest event (2011-12-09T00:00:00Z)" in done.stderr


def test_nobody_is_due_before_the_first_invoice(environment: dict[str, str]) -> None:
    done = due(environment)
    assert done.returncode == 1
    assert "no invoice was ever accepted" in done.stderr


def test_the_newest_event_is_the_begin_of_the_window(shop: RedisStore) -> None:
    assert shop.now() == NOW


@pytest.mark.usefixtures("shop")
def test_the_api_gives_the_same_list(environment: dict[str, str], settings: Settings, tmp_path: Path) -> None:
    ensure_topics(settings)
    with api_server(environment, tmp_path / "api.log") as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, "the API is ready", 60)
        query = {"within": 7, "limit": 3}
        answer = client.get("/v1/due", params=query)
        assert answer.status_code == 200, answer.text
        assert client.get("/v1/due", params=query, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    printed = [json.loads(line) for line in due(environment, "--limit", "3", "--format", "json").stdout.splitlines()]
    assert len(printed) == 3
    assert answer.json()["customers"] == printed


@pytest.mark.usefixtures("shop")
def test_the_process_that_orders_is_started_again_after_its_death_and_ends_with_its_parent(
    environment: dict[str, str], settings: Settings
) -> None:
    question = OrderQuestion(DueQuery(NOW, 7, 2), fallback_scorer().version)
    with closing(DueProcess(settings)) as orders:
        first = orders.ask(question, 30.0)
        assert isinstance(first, ReadOrder)
        assert first.order.customer_ids == ["ten", "weekly"]
        assert orders._started is not None
        os.kill(dead := orders._started[0].pid or 0, signal.SIGKILL)
        wait_until(lambda: orders._started is None or not orders._started[0].is_alive(), "it died", 10)
        second = orders.ask(question, 30.0)
        assert isinstance(second, ReadOrder)
        assert (second.order.customer_ids, second.digest) == (first.order.customer_ids, first.digest)
        assert orders._started[0].pid != dead
    parent = subprocess.run(
        [sys.executable, "-c", PARENT_THAT_DIES],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    child = Path(f"/proc/{int(parent.stdout)}")
    wait_until(lambda: not child.exists() or "(zombie)" in (child / "status").read_text(), "the process ends", 10)


PARENT_THAT_DIES = f"""
import os, signal
from state.settings import load_settings
from stream.api.due_process import DueProcess
from stream.api.due_reader import OrderQuestion
from stream.pipeline.due import DueQuery
from training.serving.load import fallback_scorer

if __name__ == "__main__":
    orders = DueProcess(load_settings())
    orders.ask(OrderQuestion(DueQuery({NOW}, 7, 2), fallback_scorer().version), 30.0)
    print(orders._started[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
