"""``nextbasket api`` as a process, on a real Redis and Kafka."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pytest

from state.events.wire import Decoder
from state.settings import Settings
from state.store.redis.store import RedisStore
from stream.api.keys import Scope, new_key
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import ensure_topics
from stream.messages import Message
from tests.integration.api_server import api_server
from tests.integration.topic import read_topic
from tests.services.group import wait_until
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
        wait_until(lambda: client.get("/readyz").status_code == 200, "the API is ready", 30)
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


def test_until_kafka_was_there_invoices_and_lists_are_503(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    apply(settings, *INVOICES)
    environment["NEXTBASKET_KAFKA_BROKERS"] = f"127.0.0.1:{free_port()}"
    with api_server(environment, tmp_path / "api.log") as client:
        answer = client.post("/v1/invoices", json=INVOICES[0])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), answer.text
        lists = client.get(PATH)
        assert (lists.status_code, client.get("/readyz").status_code) == (503, 503)
        assert "catalogue and the rules" in lists.json()["detail"]  # or an item out of stock might be offered


def test_without_a_broker_lists_are_made_and_invoices_are_503(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    apply(settings, *INVOICES)
    del environment["NEXTBASKET_KAFKA_BROKERS"]
    with api_server(environment, tmp_path / "api.log") as client:
        assert client.get(PATH).status_code == 200
        assert "NEXTBASKET_KAFKA_BROKERS" in client.post("/v1/invoices", json=INVOICES[0]).json()["detail"]
        assert client.get("/v1/recommendations/stream").status_code == 503


def test_an_item_out_of_stock_is_in_no_list_a_second_later(client: httpx.Client) -> None:
    assert client.put("/v1/items/TEA", json={"stock": 0}).status_code == 202
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        answer = client.get(PATH)
    assert "TEA" not in [item["stock_code"] for item in answer.json()["items"]]
    assert client.put("/v1/rules", json={"rules": [{"kind": "cap", "name": "c", "most": 1}]}).json()["version"] == 1


def test_without_redis_lists_are_503_until_it_is_there(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    del environment["NEXTBASKET_KAFKA_BROKERS"]
    environment["NEXTBASKET_REDIS_URL"] = f"redis://127.0.0.1:{port}"
    with api_server(environment, tmp_path / "api.log") as client:
        away = client.get(PATH)
        assert (away.status_code, away.headers["content-type"]) == (503, "application/problem+json")
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        with RedisServer(port=port, fsync="no"):
            assert client.get(PATH).status_code == 200
            wait_until(lambda: client.get("/readyz").status_code == 200, "the next check finds Redis", 10)


def test_a_key_is_withdrawn_and_another_one_given_while_the_server_runs(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    apply(settings, *INVOICES)
    del environment["NEXTBASKET_KAFKA_BROKERS"]
    before, after = new_key("before", [Scope.READ]), new_key("after", [Scope.READ])
    file = tmp_path / "keys"
    file.write_text(before.line)
    environment["NEXTBASKET_API_KEYS_FILE"] = str(file)
    with api_server(environment, tmp_path / "api.log") as client:

        def status(key: str) -> int:
            return client.get(PATH, headers={"X-API-Key": key}).status_code

        assert (status(before.key), status(after.key)) == (200, 401)
        file.write_text(after.line)
        wait_until(lambda: status(after.key) == 200, "the other key is accepted", 10)
        assert status(before.key) == 401
        assert client.head(PATH, headers={"X-API-Key": after.key}).status_code == 200


def open_streams(port: int) -> float:
    """The number of open streams by the server's metrics."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return float(next(line for line in text.splitlines() if line.startswith("nextbasket_http_streams ")).split()[1])


def is_streaming(client: httpx.Client, path: str) -> bool:
    """Whether the server reads the topic."""
    with client.stream("GET", path) as answer:
        return answer.status_code == 200


def events_of(lines: Iterator[str], count: int) -> list[tuple[str, str, str]]:
    """The next events of a stream: id, name and data."""
    found: list[tuple[str, str, str]] = []
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            found.append((fields["id"], fields["event"], fields["data"]))
            del fields["data"]
            if len(found) == count:
                break
    return found


def publish(settings: Settings, *customers: str) -> None:
    """Publish a message for each customer, as a worker would."""
    with closing(KafkaPublisher(settings)) as publisher:
        for customer in customers:
            value = msgspec.json.encode({"customer_id": customer})
            publisher.publish([Message(settings.topics.recommendations, customer.encode(), value)])


def test_a_stream_has_new_recommendations_and_goes_on_after_the_last_event_id(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    apply(settings, *INVOICES)
    ensure_topics(settings)
    publish(settings, "before")
    path = "/v1/recommendations/stream"
    metrics = free_port()
    environment["NEXTBASKET_METRICS_PORT"] = str(metrics)
    with api_server(environment, tmp_path / "api.log") as client:
        wait_until(lambda: is_streaming(client, path), "the topic is read", 30)
        with client.stream("GET", path) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            assert next(lines).startswith("retry:")
            publish(settings, "a", "b", "c", "d")
            seen = events_of(lines, 4)
        assert sorted(msgspec.json.decode(data)["customer_id"] for _, _, data in seen) == ["a", "b", "c", "d"]
        publish(settings, "e", "a")
        with client.stream("GET", path, headers={"Last-Event-ID": seen[1][0]}) as answer:
            resumed = events_of(answer.iter_lines(), 4)
        again = [msgspec.json.decode(data)["customer_id"] for _, _, data in resumed]
        missed = [msgspec.json.decode(data)["customer_id"] for _, _, data in seen[2:]]
        assert sorted(again) == sorted([*missed, "e", "a"])
        with client.stream("GET", f"{path}?customer=e", headers={"Last-Event-ID": "0:0"}) as answer:
            (only,) = events_of(answer.iter_lines(), 1)
        assert msgspec.json.decode(only[2]) == {"customer_id": "e"}
        wait_until(lambda: open_streams(metrics) == 0, "the streams of clients that left are closed", 30)
