"""Commands of an operator: export, show, redrive. A processor in this process makes the state."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from state.settings import Settings
from state.store.redis.store import RedisStore
from stream.cli.main import main
from stream.kafka import letter_sender
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import ensure_topics, existing_topics, group_has_members
from stream.messages import Incoming, Message
from stream.monitoring import Metrics
from stream.pipeline.processor import Processor
from stream.pipeline.retry import RetryPolicy
from tests.integration.topic import read_topic
from tests.integration.workers import NEXTBASKET, Worker, clean_environment, nextbasket
from tests.services.choice import Service
from tests.services.group import wait_until
from tests.services.process import free_port
from tests.unit.stream.harness import invoice
from training.serving.load import fallback_scorer

LIMIT_S = 90.0

pytestmark = pytest.mark.timeout(240)


class Shop:
    """Processes events, as a worker does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._store = RedisStore(settings)
        self.publisher = KafkaPublisher(settings)
        stop = threading.Event()
        self._processor = Processor(
            settings=settings,
            store=self._store,
            publisher=self.publisher,
            scorer=fallback_scorer,
            fallback=fallback_scorer(),
            retry=RetryPolicy(stop, Random(1)),
            metrics=Metrics(),
        )
        self._offset = 0

    def process(self, *events: dict[str, Any] | bytes) -> None:
        batch = []
        for event in events:
            value = json.dumps(event).encode() if isinstance(event, dict) else event
            batch.append(Incoming(value, b"k%d" % self._offset, self.settings.topics.invoices, 0, self._offset))
            self._offset += 1
        self._processor.process(batch)

    def close(self) -> None:
        self.publisher.close()
        self._store.close()


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    ensure_topics(settings)
    with closing(Shop(settings)) as shop:
        yield shop


def run(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [NEXTBASKET, *arguments],
        env=clean_environment(variables),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def fill(shop: Shop) -> None:
    shop.process(
        invoice("1", "b", "2011-12-01T10:00:00Z", "22613", "22138"),
        invoice("2", "ä", "2011-12-02T10:00:00Z", "22613"),
        invoice("3", "b", "2011-12-03T10:00:00Z", "22613", quantity=2.5),
        invoice("4", "B", "2011-12-04T10:00:00Z", "47566"),
        invoice("5", "gone", "2011-12-04T10:00:00Z", "47566"),
        invoice("6", "gone", "2011-12-05T10:00:00Z", "47566", quantity=-1),
    )


def test_histories_are_exported_in_their_canonical_form(
    environment: dict[str, str], shop: Shop, tmp_path: Path
) -> None:
    fill(shop)
    printed = nextbasket(environment, "export", "histories")
    assert printed.splitlines() == [
        '{"customer_id":"B","baskets":[{"invoice_no":"4","invoice_date":"2011-12-04T10:00:00Z","items":{"47566":1}}]}',
        '{"customer_id":"b","baskets":['
        '{"invoice_no":"1","invoice_date":"2011-12-01T10:00:00Z","items":{"22138":1,"22613":1}},'
        '{"invoice_no":"3","invoice_date":"2011-12-03T10:00:00Z","items":{"22613":2.5}}]}',
        '{"customer_id":"ä","baskets":[{"invoice_no":"2","invoice_date":"2011-12-02T10:00:00Z","items":{"22613":1}}]}',
    ]
    output = tmp_path / "histories.jsonl"
    printed_path = nextbasket(environment, "export", "histories", "--output", str(output))
    assert printed_path == f"Wrote 3 histories to {output}.\n"
    assert output.read_text() == printed
    assert list(tmp_path.glob(".*")) == []


def test_recommendations_are_exported_as_they_were_sent(
    environment: dict[str, str], settings: Settings, kafka: Service, shop: Shop
) -> None:
    fill(shop)
    lines = nextbasket(environment, "export", "recommendations").splitlines()
    assert [json.loads(line)["customer_id"] for line in lines] == ["B", "b", "gone", "ä"]
    sent = {message.value().decode() for message in read_topic(kafka.address, settings.topics.recommendations)}
    assert set(lines) == sent


def test_a_customer_is_shown_with_history_visit_and_reasons(environment: dict[str, str], shop: Shop) -> None:
    fill(shop)
    shown = nextbasket(environment, "show", "b")
    assert "Customer b: 2 baskets" in shown
    assert "2.5 × 22613" in shown
    assert "bought before" in shown
    assert "Next purchase:" in shown
    report = json.loads(nextbasket(environment, "show", "b", "--json"))
    assert [basket["invoice_no"] for basket in report["history"]["baskets"]] == ["1", "3"]
    assert report["visit"]["at"] == "2011-12-05T10:00:00Z"
    assert report["visit"]["items"][0]["stock_code"] == "22613"
    assert report["visit"]["items"][0]["slot"] == "replenish"
    assert report["sent"]["customer_id"] == "b"
    later = json.loads(nextbasket(environment, "show", "b", "--json", "--at", "2012-03-01"))
    assert later["visit"]["at"] == "2012-03-01T00:00:00Z"
    assert later["visit"]["next_purchase"] != report["visit"]["next_purchase"]


def test_an_unknown_customer_is_an_answer_of_no(environment: dict[str, str], shop: Shop) -> None:
    fill(shop)
    done = run(environment, "show", "nobody")
    assert done.returncode == 1
    assert done.stderr.startswith("nextbasket: No customer 'nobody' is known here")
    assert run(environment, "show", "b", "--at", "soon").returncode == 2


def test_an_export_into_a_folder_that_is_not_there_is_one_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(environment, "export", "histories", "--output", str(tmp_path / "no" / "where"))
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1


def test_without_redis_the_message_names_its_setting(environment: dict[str, str]) -> None:
    nowhere = environment | {"NEXTBASKET_REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
    for command in (["export", "histories"], ["show", "b"]):
        done = run(nowhere, *command)
        assert done.returncode == 5
        assert "NEXTBASKET_REDIS_URL" in done.stderr
        assert done.stderr.count("\n") == 1


def test_dead_letters_are_sent_back_unchanged_and_only_once(
    environment: dict[str, str], settings: Settings, kafka: Service, shop: Shop
) -> None:
    late = json.dumps(invoice("9", "b", "2099-01-01T00:00:00Z", "22613")).encode()
    shop.process(b"not json", late, b"", late + b" ")
    assert "2 dead letters would be sent" in nextbasket(environment, "redrive", "--reason", "AHEAD of", "--dry-run")
    assert read_topic(kafka.address, settings.topics.invoices) == []
    printed = nextbasket(environment, "redrive", "--reason", "ahead of the clock")
    sent, outcome = printed.splitlines()
    assert sent == "2 dead letters were sent back to where they came from, 2 left in place."
    assert outcome.startswith("Not processed yet: 2 letters, because no worker is running.")
    back = read_topic(kafka.address, settings.topics.invoices)
    assert {(message.key(), message.value()) for message in back} == {(b"k1", late), (b"k3", late + b" ")}
    assert "0 dead letters were sent" in nextbasket(environment, "redrive", "--reason", "ahead of the clock")
    # The others later, and those that came meanwhile with them.
    shop.process(b"{")
    assert "3 dead letters were sent back" in nextbasket(environment, "redrive")
    assert "0 dead letters were sent back" in nextbasket(environment, "redrive")
    assert len(read_topic(kafka.address, settings.topics.invoices)) == 5


def test_a_redrive_prints_which_letters_were_taken_and_which_came_back(
    environment: dict[str, str], settings: Settings, kafka: Service, shop: Shop, tmp_path: Path
) -> None:
    later = [json.dumps(invoice(str(number), f"c{number}", "2099-01-01T00:00:00Z", "22613")) for number in range(9)]
    shop.process(*(event.encode() for event in later), b"not json", b"{}", b"{")
    worker = Worker(environment | {"NEXTBASKET_MAX_DAYS_AHEAD": "36500"}, tmp_path / "worker.log")
    worker.start()
    try:
        wait_until(lambda: group_has_members(settings), "the worker has joined", LIMIT_S)
        for taken in (9, 0):  # the second call takes the three that came back
            done = run(environment, "redrive")
            assert done.returncode == 1, done.stderr
            lines = done.stdout.splitlines()
            assert lines[0] == f"{taken + 3} dead letters were sent back to where they came from, 0 left in place."
            assert lines[1] == f"Taken: {taken}; came back as dead letters: 3."
            reasons = lines[2:]
            assert sum(int(reason.split(" × ")[0]) for reason in reasons) == 3
            assert any("JSON" in reason for reason in reasons)
            assert "3 letters came back: the cause is not gone." in done.stderr
        assert worker.stop() == 0
    finally:
        worker.end()
    assert len(read_topic(kafka.address, settings.topics.invoices)) == 15


def test_a_letter_from_another_topic_is_not_sent(
    environment: dict[str, str], settings: Settings, kafka: Service, shop: Shop
) -> None:
    foreign = (("source-topic", b"elsewhere"), ("reason", b"r"))
    shop.publisher.publish([Message(settings.topics.dead_letter, None, b"x", foreign)])
    shop.process(b"bad")
    done = run(environment, "redrive")
    assert done.returncode == 1
    assert "1 dead letter was sent back" in done.stdout
    assert "1 letter cannot be sent back" in done.stderr
    assert [message.value() for message in read_topic(kafka.address, settings.topics.invoices)] == [b"bad"]


def test_without_a_topic_of_dead_letters_nothing_is_sent_or_created(
    environment: dict[str, str], kafka: Service, settings: Settings
) -> None:
    if not kafka.real:
        pytest.skip("the embedded broker makes a topic when it is asked about one")
    assert "nothing was ever dead-lettered" in nextbasket(environment, "redrive")
    assert not [topic for topic in existing_topics(settings) if topic.startswith(settings.namespace)]


@pytest.mark.durable  # the embedded broker has no transactions
@pytest.mark.parametrize("sent", [False, True], ids=["before the letters are sent", "before they are committed"])
def test_of_two_redrives_at_once_each_letter_is_sent_once(
    environment: dict[str, str],
    settings: Settings,
    kafka: Service,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    sent: bool,
) -> None:
    letters = [b"not json %d" % number for number in range(30)]
    shop.process(*letters)
    printed: list[str] = []

    def send(*arguments: Any) -> Any:
        """Another redrive runs to its end in the middle of this one."""
        monkeypatch.setattr(letter_sender, "_send", unhindered)
        done = unhindered(*arguments) if sent else None
        printed.append(nextbasket(environment, "redrive"))
        return done if sent else unhindered(*arguments)

    unhindered = letter_sender._send
    monkeypatch.setattr(letter_sender, "_send", send)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["redrive"]) == 5
    assert "30 dead letters were sent back" in printed[0]
    assert sorted(message.value() for message in read_topic(kafka.address, settings.topics.invoices)) == sorted(letters)
    assert "0 dead letters were sent back" in nextbasket(environment, "redrive")
