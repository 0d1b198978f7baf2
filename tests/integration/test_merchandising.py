"""The catalogue and the rules on Kafka and Redis, with workers as processes."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer

from state.events.catalogue import CatalogueItem, encode_item
from state.settings import Settings
from stream.kafka.item_validation import ItemValidation
from stream.kafka.topics import ensure_topics
from stream.messages import Message
from tests.integration.api_server import api_server
from tests.integration.topic import read_topic
from tests.integration.workers import Worker, nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.unit.stream.harness import invoice

LIMIT_S = 60.0
CUSTOMERS = 30
KINDS = {"fresh", "unchanged", "cart", "anonymous cart", "batch", "stream"}
"""Ways in which the API offers items."""
WITHIN_S = 1.0
"""After so long, no recommendation may hold an item that went out of stock."""
ANSWERS = 250
"""So many answers are looked at afterwards: about a second's."""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def producer(kafka: Service, settings: Settings) -> Producer:
    ensure_topics(settings)
    return Producer({"bootstrap.servers": kafka.address, "log_level": 0, "linger.ms": 1})


@pytest.fixture
def group(kafka: Service, settings: Settings) -> Iterator[Group]:
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    yield group
    group.close()


@pytest.fixture
def workers(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[int], list[Worker]]]:
    """Starts workers, and ends them after the test."""
    started: list[Worker] = []

    def start(count: int) -> list[Worker]:
        for number in range(count):
            started.append(Worker(environment, tmp_path / f"worker-{number}.log"))
            started[-1].start()
        return started

    yield start
    for worker in started:
        worker.end()


def put_item(producer: Producer, settings: Settings, code: str, **fields: Any) -> None:
    producer.produce(settings.topics.items, encode_item(CatalogueItem(code, **fields)), code.encode())
    assert producer.flush(30) == 0


class Till:
    """Sends invoices of all customers in turn, without end; each buys TEA, which so leads every list."""

    def __init__(self, producer: Producer, settings: Settings) -> None:
        self.sent = 0
        self._producer = producer
        self._topic = settings.topics.invoices
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._sell, daemon=True)

    def __enter__(self) -> "Till":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(30)

    def _sell(self) -> None:
        while not self._closing.wait(0.004):
            number, customer = divmod(self.sent, CUSTOMERS)
            day = f"2011-11-{number % 28 + 1:02d}T{number // 28 % 24:02d}:00:00Z"
            event = invoice(str(self.sent), str(12_000 + customer), day, "TEA", f"I{self.sent % 17}")
            self._producer.produce(self._topic, json.dumps(event).encode(), str(customer).encode())
            self._producer.poll(0)
            self.sent += 1
        assert self._producer.flush(30) == 0


class Visit(NamedTuple):
    """An answer of the API; ``asked_ms``: when it was asked for, or when a streamed recommendation was made."""

    kind: str
    asked_ms: float
    has_tea: bool


class Storefront:
    """Asks the API in every way, at 240 requests a second if the machine can, and reads its stream."""

    def __init__(self, address: str) -> None:
        self.visits: list[Visit] = []
        self.statuses: Counter[int] = Counter()
        self._host = address.removeprefix("http://")
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(8)]
        self._threads.append(threading.Thread(target=self._follow, daemon=True))

    def __enter__(self) -> "Storefront":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _ask(self, number: int) -> None:
        connection = HTTPConnection(self._host, timeout=30)
        tags: dict[str, tuple[str, bool]] = {}  # of the newest answer, which a 304 stands for
        for turn in count(number):
            if self._closing.wait(1 / 30):
                break
            customer = 12_000 + turn * 7 % CUSTOMERS
            path = f"/v1/customers/{customer}/recommendations"
            kind, method, target, body = (
                ("fresh", "GET", f"{path}?limit={turn % 90 + 10}", None),
                ("unchanged", "GET", "/v1/recommendations?limit=20", None),
                ("cart", "POST", path, {"cart": ["I3"]}),
                ("anonymous cart", "POST", "/v1/recommendations", {"cart": ["I3"]}),
                ("batch", "POST", "/v1/recommendations/batch", {"customers": [str(customer), "nobody"]}),
            )[turn % 5]
            headers = {"Content-Type": "application/json"} if body else {}
            if kind == "unchanged" and target in tags:
                headers["If-None-Match"] = tags[target][0]
            asked_ms = time.time() * 1000
            connection.request(method, target, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.statuses[answer.status] += 1
            has_tea = tags[target][1] if answer.status == 304 else _offers_tea(json.loads(content))
            tags[target] = (answer.headers.get("ETag", ""), has_tea)
            self.visits.append(Visit(kind, asked_ms, has_tea))
        connection.close()

    def _follow(self) -> None:
        connection = HTTPConnection(self._host, timeout=30)
        connection.request("GET", "/v1/recommendations/stream")
        stream = connection.getresponse()
        while not self._closing.is_set():
            name, _, data = stream.readline().partition(b": ")
            if name == b"data":
                one = json.loads(data)
                made_ms = datetime.fromisoformat(one["generated_at"]).timestamp() * 1000
                self.visits.append(Visit("stream", made_ms, _offers_tea(one)))
        connection.close()


def _after(visits: Sequence[Visit], gone_ms: float) -> list[Visit]:
    """The visits for which the time to leave the item out was over."""
    return [each for each in list(visits) if each.asked_ms > gone_ms + WITHIN_S * 1000]


def _offers_tea(answer: Any) -> bool:
    lists = answer.get("recommendations", [answer])
    return any(item["stock_code"] == "TEA" for one in lists for item in one["items"])


def test_one_second_after_an_item_went_out_of_stock_no_recommendation_and_no_answer_has_it(
    workers: Callable[[int], list[Worker]],
    environment: dict[str, str],
    settings: Settings,
    kafka: Service,
    producer: Producer,
    group: Group,
    tmp_path: Path,
) -> None:
    put_item(producer, settings, "TEA", stock=100.0)
    started = workers(2)
    wait_until(lambda: group.members() == 2, "both workers have partitions", LIMIT_S)
    with api_server(environment, tmp_path / "api.log") as client, Till(producer, settings) as till:
        wait_until(lambda: group.done() > 300, "recommendations flow", LIMIT_S)
        wait_until(lambda: client.get("/readyz").status_code == 200, "the API is ready", LIMIT_S)
        with Storefront(str(client.base_url)) as storefront:
            wait_until(
                lambda: {each.kind for each in storefront.visits if each.has_tea} == KINDS, "TEA is offered", LIMIT_S
            )
            put_item(producer, settings, "TEA", stock=0.0)
            gone_ms = time.time() * 1000
            at = till.sent
            wait_until(
                lambda: till.sent > at + 600 and len(_after(storefront.visits, gone_ms)) > ANSWERS,
                "invoices and visits flow on",
                LIMIT_S,
            )
            still = {
                "fresh": client.get("/v1/customers/12001/recommendations").json(),
                "anonymous": client.get("/v1/recommendations").json(),
            }
        assert not any(map(_offers_tea, still.values()))
    after = _after(storefront.visits, gone_ms)
    assert {each.kind for each in after} == KINDS
    assert [each for each in after if each.has_tea] == []
    assert set(storefront.statuses) == {200, 304}, storefront.statuses
    wait_until(lambda: group.done() == till.sent, "everything is done", LIMIT_S)

    with_tea: list[float] = []
    later = 0
    for message in read_topic(kafka.address, settings.topics.recommendations):
        published_ms = message.timestamp()[1]
        later += published_ms > gone_ms + WITHIN_S * 1000
        if any(item["stock_code"] == "TEA" for item in json.loads(message.value())["items"]):
            with_tea.append(published_ms - gone_ms)
    assert with_tea, "before that, lists had it"
    assert max(with_tea) <= WITHIN_S * 1000, f"{len(with_tea)} lists"
    assert later > 100
    for worker in started:
        assert worker.ended() is None, worker.log_tail()


def test_an_invalid_item_event_becomes_a_dead_letter_once(
    settings: Settings, kafka: Service, producer: Producer
) -> None:
    topic = settings.topics.items
    validated = Group(kafka.address, f"{settings.group}-items", topic)

    def produce(*records: tuple[bytes, bytes | None]) -> None:
        for key, value in records:
            producer.produce(topic, value, key)
        assert producer.flush(30) == 0

    def validate(until: int) -> list[Message]:
        """The dead letters of a worker that validates up to an offset."""
        letters: list[Message] = []
        counts: list[int] = []
        validation = ItemValidation(settings, letters.extend, counts.append, clock=lambda: 0)
        validation.start()
        try:
            wait_until(lambda: validated.done() == until, f"{until} records are validated", LIMIT_S)
        finally:
            validation.stop()
        assert sum(counts) == len(letters)
        return letters

    good = encode_item(CatalogueItem("B", stock=1.0))
    produce((b"B", good), (b"A", b'{"stock_code": "A", "price": -1}'), (b"B", None), (b" ", b"{}"))
    letters = {letter.key: dict(letter.headers) for letter in validate(4)}
    assert letters[b"A"]["reason"].startswith(b"price cannot be taken")
    assert letters[b"A"]["source-topic"] == topic.encode()
    assert letters[b" "]["reason"].startswith(b"The record has no stock code as its key")
    assert len(letters) == 2
    produce((b"C", b'{"stock_code": "D"}'))
    (letter,) = validate(5)
    assert letter.value == b'{"stock_code": "D"}'
    assert dict(letter.headers)["reason"].startswith(b"The key of the record is not the stock code 'D'")
    validated.close()


def test_rules_are_set_for_running_workers_and_invalid_items_become_dead_letters(
    workers: Callable[[int], list[Worker]],
    environment: dict[str, str],
    settings: Settings,
    kafka: Service,
    producer: Producer,
    group: Group,
    tmp_path: Path,
) -> None:
    workers(1)
    wait_until(lambda: group.members() == 1, "the worker has partitions", LIMIT_S)
    rules = tmp_path / "rules.json"
    rules.write_text('{"rules": [{"kind": "pin", "name": "advent", "stock_codes": ["CALENDAR"]}]}')
    put_item(producer, settings, "CALENDAR", name="Advent calendar", category=("Season",))
    assert "Version 1 with 1 rule is in force" in nextbasket(environment, "rules", "set", str(rules))
    assert json.loads(nextbasket(environment, "rules", "show", "--json"))["version"] == 1
    broken = b'{"stock_code": "MUG", "stock": "many"}'
    producer.produce(settings.topics.items, broken, b"MUG")
    producer.produce(settings.topics.items, b"{}", b" ")
    assert producer.flush(30) == 0

    time.sleep(WITHIN_S)  # the guarantee is that rules are in force after this time
    producer.produce(
        settings.topics.invoices, json.dumps(invoice("1", "12680", "2011-11-01T10:00:00Z", "MUG", "TEA")).encode()
    )
    assert producer.flush(30) == 0
    wait_until(lambda: group.done() == 1, "it is done", LIMIT_S)
    (message,) = read_topic(kafka.address, settings.topics.recommendations)
    recommendation = json.loads(message.value())
    assert [item["stock_code"] for item in recommendation["items"]] == ["CALENDAR", "TEA"]
    assert recommendation["items"][0]["description"] == "Advent calendar"
    assert {(each["kind"], each["rule"]) for each in recommendation["rules"]["acted"]} == {
        ("pin", "advent"),
        ("catalogue", "invalid_event"),
    }

    wait_until(lambda: len(read_topic(kafka.address, settings.topics.dead_letter)) == 2, "both are there", LIMIT_S)
    letters = {
        letter.key(): dict(letter.headers()) for letter in read_topic(kafka.address, settings.topics.dead_letter)
    }
    assert letters[b"MUG"]["source-topic"] == settings.topics.items.encode()
    assert letters[b"MUG"]["reason"].startswith(b"stock cannot be taken; it must be a number within")
    assert letters[b" "]["reason"].startswith(b"The record has no stock code as its key")

    sent = nextbasket(environment, "redrive", "--reason", "stock cannot be taken")
    assert sent == "1 dead letter was sent back to where it came from, 1 left in place.\n"
    wait_until(lambda: len(read_topic(kafka.address, settings.topics.dead_letter)) == 3, "it is back", LIMIT_S)

    shown = nextbasket(environment, "show", "12680", "--why-not", "MUG")
    assert "MUG is not recommended because of the catalogue (invalid event)" in shown
    put_item(producer, settings, "MUG", stock=5.0)
    assert "MUG is recommended" in nextbasket(environment, "show", "12680", "--why-not", "MUG")
    rules.write_text('{"version": 1, "rules": []}')
    with pytest.raises(AssertionError, match="version 1, and version 1 is in force"):
        nextbasket(environment, "rules", "set", str(rules))
