"""``nextbasket api`` as a process, on a real Redis and Kafka."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pytest

from state.events.wire import Decoder
from state.settings import Settings
from state.store.redis.store import RedisStore
from tests.integration.api_server import api_server
from tests.integration.topic import read_topic
from tests.services.process import free_port
from tests.services.redis import RedisServer
from tests.unit.api.shop import INVOICES
from tests.unit.stream.harness import CLOCK, invoice

PATH = "/v1/customers/anna/recommendations"


def apply(settings: Settings, *events: dict[str, object]) -> None:
    """Let the store take invoices, as a worker would."""
    decoder = Decoder(settings)
    invoices = [decoder.decode(msgspec.json.encode(event), now=int(CLOCK)) for event in events]
    with closing(RedisStore(settings)) as store:
        store.apply(invoices, clock_ms=int(CLOCK * 1000))


@pytest.fixture
def client(environment: dict[str, str], settings: Settings, tmp_path: Path) -> Iterator[httpx.Client]:
    apply(settings, *INVOICES)
    with api_server(environment, tmp_path / "api.log") as client:
        yield client


def test_a_list_is_ranked_from_the_live_history(client: httpx.Client, settings: Settings) -> None:
    first = client.get(PATH)
    assert first.status_code == 200, first.text
    assert [item["stock_code"] for item in first.json()["items"]][:2] == ["TEA", "CUP"]
    known = {"If-None-Match": first.headers["etag"]}
    assert client.get(PATH, headers=known).status_code == 304
    apply(settings, *[invoice(str(number), "anna", "2011-12-09T12:10:00Z", "MAT") for number in range(10, 15)])
    again = client.get(PATH, headers=known)
    assert again.status_code == 200
    assert again.json()["items"][0]["stock_code"] == "MAT"
    assert client.get("/readyz").json() == {"status": "ok"}


def test_an_invoice_is_accepted_once_kafka_has_it(client: httpx.Client, settings: Settings) -> None:
    events = [invoice(str(number), f"c{number}", "2011-12-09T12:10:00Z", "MAT") for number in range(20)]
    assert client.post("/v1/invoices", json=events).json()["accepted"] == 20
    assert client.post("/v1/invoices", json=events[0]).status_code == 202
    refused = client.post("/v1/invoices", json=[events[0], events[1] | {"lines": []}])
    assert refused.status_code == 400
    messages = read_topic(settings.kafka_brokers, settings.topics.invoices)
    assert sorted(message.key().decode() for message in messages) == sorted([*(f"c{n}" for n in range(20)), "c0"])
    assert all(message.key().decode() == msgspec.json.decode(message.value())["customer_id"] for message in messages)


def test_without_kafka_invoices_are_503_and_lists_go_on(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    apply(settings, *INVOICES)
    environment["NEXTBASKET_KAFKA_BROKERS"] = f"127.0.0.1:{free_port()}"
    with api_server(environment, tmp_path / "api.log") as client:
        answer = client.post("/v1/invoices", json=INVOICES[0])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), answer.text
        assert client.get(PATH).status_code == 200


def test_without_redis_lists_are_503_until_it_is_there(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    environment["NEXTBASKET_REDIS_URL"] = f"redis://127.0.0.1:{port}"
    with api_server(environment, tmp_path / "api.log") as client:
        away = client.get(PATH)
        assert (away.status_code, away.headers["content-type"]) == (503, "application/problem+json")
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        with RedisServer(port=port, fsync="no"):
            assert client.get(PATH).status_code == 200
            assert client.get("/readyz").status_code == 200
