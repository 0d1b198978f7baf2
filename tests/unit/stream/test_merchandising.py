"""The catalogue and the rules in the pipeline, and a follower of their topics on the embedded broker."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from state.domain.catalogue import Catalogue
from state.domain.rules import CompiledRules, Merchandising
from state.events.catalogue import CatalogueItem, encode_item
from state.events.rules import RULES_KEY, Boost, Exclude, ItemFilter, Pin, Rule, Rules, encode_rules
from state.settings import Settings, load_settings
from stream.errors import BrokerUnavailable
from stream.kafka.config import EMBEDDED_API_VERSION
from stream.kafka.followers import MerchandisingFollower, read_merchandising
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import ensure_topics
from stream.messages import Message
from stream.tools.embedded import embedded_kafka
from tests.services.process import free_port
from tests.unit.stream.harness import ProcessorHarness, invoice
from training.serving.scorer import Prediction

DATE = "2011-12-01T10:00:00Z"
LIMIT_S = 20.0


def merchandising(*rules: Rule, **items: CatalogueItem) -> Merchandising:
    return Merchandising(Catalogue(items), CompiledRules(Rules(version=7, rules=rules)))


def published(snapshot: Merchandising | None) -> list[bytes | None]:
    """The recommendations after four invoices."""
    harness = ProcessorHarness(merchandising=snapshot)
    harness.process(
        invoice("1", "anna", DATE, "TEA", "CUP"),
        invoice("2", "ben", DATE, "TEA", "MAT"),
        invoice("3", "cleo", DATE, "LAMP"),
    )
    harness.process(invoice("4", "anna", "2011-12-02T10:00:00Z", "TEA"))
    return [message.value for message in harness.messages("recommendations")]


def listed(harness: ProcessorHarness) -> list[str]:
    """The stock codes of the newest recommendation."""
    return [item["stock_code"] for item in harness.recommendations()[-1]["items"]]


def test_without_catalogue_and_rules_every_byte_is_the_same() -> None:
    plain = published(None)
    assert plain == published(Merchandising())
    in_stock = {code: CatalogueItem(code, stock=3.0) for code in ("TEA", "CUP")}
    assert plain == published(merchandising(**in_stock))
    assert all(b"rules" not in (value or b"") for value in plain)


def test_a_catalogue_that_forbids_nothing_asks_for_no_deeper_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    harness = ProcessorHarness(merchandising=merchandising(TEA=CatalogueItem("TEA", stock=1.0)), top_k="3")
    predict = harness.scorer.predict

    def spy(histories: Any, items: Any, now: int, k: int) -> Any:
        asked.append(k)
        return predict(histories, items, now, k)

    monkeypatch.setattr(harness.scorer, "predict", spy)
    harness.process(invoice("1", "anna", DATE, "TEA"))
    harness.merchandising = merchandising(TEA=CatalogueItem("TEA", stock=0.0))
    harness.process(invoice("2", "anna", DATE, "CUP"))
    assert asked == [3, 100]


def test_an_item_out_of_stock_is_not_recommended_and_named_in_the_message() -> None:
    harness = ProcessorHarness(top_k="2")
    harness.process(invoice("1", "ben", DATE, "TEA", "MAT", "CUP"), invoice("2", "anna", DATE, "TEA", "CUP"))
    harness.merchandising = merchandising(TEA=CatalogueItem("TEA", stock=0.0))
    harness.process(invoice("3", "anna", "2011-12-02T10:00:00Z", "TEA"))
    recommendation = harness.recommendations()[-1]
    assert [item["stock_code"] for item in recommendation["items"]] == ["CUP", "MAT"]
    assert recommendation["rules"] == {
        "version": 7,
        "acted": [{"rule": "out_of_stock", "kind": "catalogue", "stock_codes": ["TEA"]}],
    }
    assert harness.metric("rule_items_total", kind="catalogue") == 1


def test_an_item_that_goes_out_of_stock_during_the_prediction_is_not_recommended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = ProcessorHarness(top_k="2")
    harness.process(invoice("1", "ben", DATE, "TEA", "MAT", "CUP"))
    predict = harness.scorer.predict

    def slow(*arguments: Any) -> Any:
        harness.merchandising = merchandising(TEA=CatalogueItem("TEA", blocked=True))
        return predict(*arguments)

    monkeypatch.setattr(harness.scorer, "predict", slow)
    harness.process(invoice("2", "anna", DATE, "TEA"))
    assert "TEA" not in listed(harness)
    assert len(listed(harness)) == 2


def test_a_list_is_filled_by_demand_and_probabilities_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = ProcessorHarness(top_k="3")
    many = [f"I{number:03}" for number in range(150)]
    harness.process(invoice("1", "ben", DATE, *many), invoice("2", "cleo", DATE, *many[140:]))
    harness.merchandising = merchandising(
        Exclude(name="first", items=ItemFilter(stock_codes=tuple(many[:140]))),
    )
    predict = harness.scorer.predict

    def shallow(histories: Any, items: Any, now: int, k: int) -> list[Prediction]:
        """Knows the first hundred items only."""
        return [
            Prediction([each for each in one.candidates if each.stock_code in many[:100]], one.return_curve)
            for one in predict(histories, items, now, 200)
        ]

    monkeypatch.setattr(harness.scorer, "predict", shallow)
    harness.process(invoice("3", "anna", DATE, "I000"))
    assert listed(harness) == many[140:143]
    chances = [item["probability"] for item in harness.recommendations()[-1]["items"]]
    assert chances == sorted(chances, reverse=True)


def test_a_pinned_item_that_was_never_sold_has_its_name_and_no_chance() -> None:
    new = CatalogueItem("NEW", name="A new item")
    harness = ProcessorHarness(merchandising=merchandising(Pin(name="p", stock_codes=("NEW",)), NEW=new))
    harness.process(invoice("1", "anna", DATE, "TEA"))
    item = harness.recommendations()[0]["items"][0]
    assert (item["stock_code"], item["description"], item["probability"], item["slot"]) == (
        "NEW",
        "A new item",
        0.0,
        "discover",
    )


def test_a_customer_to_whom_nothing_is_allowed_gets_an_empty_list_in_place_of_the_last() -> None:
    everything = Exclude(name="all", items=ItemFilter(unless=ItemFilter(stock_codes=("none",))))
    harness = ProcessorHarness()
    harness.process(invoice("1", "anna", DATE, "TEA"))
    assert listed(harness) == ["TEA"]
    harness.merchandising = merchandising(everything)
    harness.process(invoice("2", "anna", DATE, "CUP"))
    assert len(harness.recommendations()) == 2
    assert listed(harness) == []
    last = harness.store.recommendation("anna")
    assert last is not None
    assert last.items == []
    harness.process(invoice("3", "anna", "2011-12-03T10:00:00Z", "CUP"))  # nothing to score it by, and no error
    assert listed(harness) == []


# On the embedded broker.


@pytest.fixture
def settings() -> Iterator[Settings]:
    with embedded_kafka() as brokers:
        found = load_settings(
            {"NEXTBASKET_KAFKA_BROKERS": brokers, "NEXTBASKET_KAFKA_API_VERSION": EMBEDDED_API_VERSION}
        )
        ensure_topics(found)
        yield found


def send(settings: Settings, *messages: tuple[str, bytes, bytes | None]) -> None:
    publisher = KafkaPublisher(settings)
    publisher.publish([Message(*each) for each in messages])
    publisher.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def item(code: str, **fields: Any) -> tuple[str, bytes, bytes]:
    return "items", code.encode(), encode_item(CatalogueItem(code, **fields))


def rules(version: int, *given: Rule) -> tuple[str, bytes, bytes]:
    return "rules", RULES_KEY, encode_rules(Rules(version=version, rules=given))


BOOST = Boost(name="b", factor=2.0, items=ItemFilter(stock_codes=("A",)))


def test_a_follower_reads_both_topics_and_then_follows(settings: Settings) -> None:
    send(settings, item("A", stock=1.0), item("B"), item("A", stock=5.0), rules(1, BOOST))
    follower = MerchandisingFollower(settings)
    assert follower.problem() == "items and rules: not read yet"
    follower.start()
    try:
        assert follower.wait_until_read(threading.Event(), LIMIT_S)
        assert follower.problem() is None
        first = follower.merchandising
        assert first.catalogue == {"A": CatalogueItem("A", stock=5.0), "B": CatalogueItem("B")}
        assert first.rules.document.rules == (BOOST,)
        send(settings, item("A", stock=0.0), ("items", b"B", None), rules(2))
        wait_until(lambda: follower.merchandising.rules.document.version == 2)
        wait_until(lambda: follower.merchandising.catalogue == {"A": CatalogueItem("A", stock=0.0)})
        assert first.catalogue["A"].stock == 5.0, "a snapshot does not change"
        assert first.version != follower.merchandising.version
        assert read_merchandising(settings).version == follower.merchandising.version
    finally:
        follower.stop()


def test_an_invalid_item_event_withholds_the_item(settings: Settings) -> None:
    send(settings, item("A", stock=1.0), ("items", b"A", b'{"stock_code": "A", "price": -1}'), ("items", b" ", b"{}"))
    catalogue = read_merchandising(settings).catalogue
    assert list(catalogue) == ["A"]
    assert catalogue["A"].invalid == "price cannot be taken; it must be a number from 0 to 10,000,000, or null."


def test_invalid_rules_leave_those_before_in_force_and_keep_a_new_reader_waiting(settings: Settings) -> None:
    send(settings, rules(1, BOOST))
    follower = MerchandisingFollower(settings, items=False)
    follower.start()
    try:
        assert follower.wait_until_read(threading.Event(), LIMIT_S)
        send(settings, ("rules", RULES_KEY, b'{"rules": [{"kind": "magic", "name": "x"}]}'), ("rules", b"other", b"{}"))
        with pytest.raises(BrokerUnavailable, match=r"nextbasket rules set: rules\[0\]\.kind cannot be taken"):
            read_merchandising(settings, items=False, timeout_s=3.0)
        assert follower.merchandising.rules.document.rules == (BOOST,)
        send(settings, rules(3))
        assert read_merchandising(settings, items=False).rules.document.version == 3
    finally:
        follower.stop()


def test_without_a_broker_the_error_names_it() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=address):
        read_merchandising(load_settings({"NEXTBASKET_KAFKA_BROKERS": address}), timeout_s=1.0)


def test_waiting_ends_when_the_process_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.followers._METADATA_TIMEOUT_S", 0.2)
    follower = MerchandisingFollower(load_settings({"NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{free_port()}"}))
    stop = threading.Event()
    stop.set()
    follower.start()
    assert not follower.wait_until_read(stop)
    follower.stop()


def test_no_thread_is_left_where_kafka_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.followers._METADATA_TIMEOUT_S", 1.5)  # more than it takes to stop another thread
    follower = MerchandisingFollower(load_settings({"NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{free_port()}"}))
    follower.start()
    follower.stop()
    assert [thread.name for thread in threading.enumerate() if thread.name == "merchandising"] == []
