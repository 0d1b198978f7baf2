"""The page of ``nextbasket api`` as a process, on a real Redis and Kafka."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pytest

from state.settings import Settings
from stream.kafka.publisher import KafkaPublisher
from stream.messages import Incoming
from stream.pipeline.dead_letters import dead_letter
from tests.integration.api_server import api_server
from tests.integration.test_api import apply, publish
from tests.integration.topic import read_topic
from tests.services.group import wait_until
from tests.unit.api.shop import INVOICES
from tests.unit.api.test_pages import text, token
from tests.unit.stream.harness import invoice


@pytest.fixture
def client(environment: dict[str, str], settings: Settings, tmp_path: Path) -> Iterator[httpx.Client]:
    apply(settings, *INVOICES)
    with api_server(environment, tmp_path / "api.log") as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, "the API is ready", 30)
        client.headers["Origin"] = str(client.base_url).rstrip("/")
        client.follow_redirects = True
        yield client


def test_dead_letters_are_read_and_sent_back_as_they_came(client: httpx.Client, settings: Settings) -> None:
    assert "No dead letter waits." in text(client.get("/dead-letters"))
    bad, good = b'{"bad": "\xff"', msgspec.json.encode(invoice("9", "anna", "2011-12-09T12:00:00Z", "TEA"))
    letters = [
        dead_letter(
            Incoming(value, b"anna", settings.topics.invoices, 0, offset, 0.0),
            reason,
            topic=settings.topics.dead_letter,
            when="2011-12-09T12:00:00Z",
        )
        for offset, (value, reason) in enumerate([(bad, "The event is not UTF-8."), (good, "ahead of the clock")])
    ]
    with closing(KafkaPublisher(settings)) as publisher:
        publisher.publish(letters)
    page = client.get("/dead-letters")
    assert "2 letters, 2 reasons." in text(page)
    assert bad.hex(" ") in text(page)
    fields = {"token": token(page), "reason": "ahead of the clock"}
    done = client.post("/dead-letters/redrive", data=fields)
    assert "sent back" in text(done)
    assert "1 letter, 1 reason." in text(done)
    again = client.post("/dead-letters/redrive", data=fields)
    assert "0 letters sent back" in text(again)


def test_health_knows_the_lag_of_workers_that_do_not_run(client: httpx.Client, settings: Settings) -> None:
    assert "0 events not yet processed" in text(client.get("/health"))
    events = [invoice(str(number), f"c{number}", "2011-12-09T12:10:00Z", "MAT") for number in range(20)]
    assert client.post("/v1/invoices", json=events).status_code == 202
    assert "20 events not yet processed" in text(client.get("/health"))


def test_what_the_page_saves_is_obeyed_at_once(client: httpx.Client, settings: Settings) -> None:
    rules = {"rules": [{"kind": "exclude", "name": "no tea", "items": {"stock_codes": ["TEA"]}}]}
    page = client.get("/rules")
    form = {"token": token(page), "base": '"0"', "draft": json.dumps(rules)}
    assert "would change" in text(client.post("/rules", data={**form, "action": "preview"}))
    assert "Version 1 of the rules is in force." in text(client.post("/rules", data={**form, "action": "save"}))
    (record,) = read_topic(settings.kafka_brokers, settings.topics.rules)
    assert json.loads(record.value())["version"] == 1
    item = {"token": token(page), "code": "CUP", "stock": "0", "action": "save"}
    assert "Not recommended now: out of stock." in text(client.post("/items", data=item))
    why_not = text(client.get("/customers?id=anna&why_not=TEA"))
    assert "TEA is not recommended because of the rule no tea (exclude)" in why_not
    assert "the catalogue (out of stock): CUP" in why_not


def test_the_live_page_begins_with_the_newest_recommendations(client: httpx.Client, settings: Settings) -> None:
    publish(settings, "anna", "ben")

    def names() -> list[str]:
        found = []
        with client.stream("GET", "/live/stream") as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line[6:])["customer_id"])
                    if len(found) == 2:
                        break
        return sorted(found)

    assert names() == ["anna", "ben"]
    assert client.get("/").status_code == 200


def test_an_item_is_added_and_deleted(client: httpx.Client, settings: Settings) -> None:
    page = client.get("/items?code=NEW")
    assert page.status_code == 404
    fields = {"token": token(page), "code": "NEW", "name": "New"}
    assert "NEW is saved." in text(client.post("/items", data={**fields, "action": "save"}))
    assert "NEW is deleted" in text(client.post("/items", data={**fields, "action": "delete"}))
    assert read_topic(settings.kafka_brokers, settings.topics.items)[-1].value() is None
