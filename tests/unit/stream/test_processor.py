import json
import logging
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from state.domain.recommendation import Recommendation
from state.errors import CustomerRefused, StoreRefused, StoreUnavailable
from state.events.invoice import Invoice
from state.settings import load_settings
from state.store.memory import MemoryStore
from state.store.protocol import ApplyResult
from stream.errors import PublisherUnavailable, Stopped
from stream.messages import Message
from stream.pipeline.memory_publisher import MemoryPublisher
from tests.unit.stream.harness import CLOCK, CountingScorer, ProcessorHarness, invoice

DAY = "2011-12-09T12:50:00Z"


class FlakyStore(MemoryStore):
    """Is unavailable for ``down`` calls; then loses the answers of ``lost`` calls after applying them."""

    def __init__(self, down: int = 0, lost: int = 0) -> None:
        super().__init__(load_settings({}))
        self.down = down
        self.lost = lost

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> ApplyResult:
        if self.down:
            self.down -= 1
            raise StoreUnavailable("Redis does not answer")
        applied = super().apply(invoices, clock_ms=clock_ms)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("The answer of Redis was lost")
        return applied


class RefusingStore(MemoryStore):
    """Refuses every call with an invoice of one customer, or, with ``everything``, every call."""

    def __init__(self, refused: str, *, everything: bool = False) -> None:
        super().__init__(load_settings({}))
        self.refused = refused
        self.everything = everything

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> ApplyResult:
        if self.everything:
            raise StoreRefused("A key of the items holds something else")
        if any(one.customer_id == self.refused for one in invoices):
            raise CustomerRefused("The keys of a customer hold something else")
        return super().apply(invoices, clock_ms=clock_ms)

    def confirm(self, recommendations: Sequence[Recommendation], unchanged: Any = ()) -> None:
        if any(one.customer_id == "refused at the confirm" for one in recommendations):
            raise CustomerRefused("The key of a recommendation holds something else")
        super().confirm(recommendations, unchanged)


class FlakyPublisher(MemoryPublisher):
    """Confirms every other message in its first calls."""

    def __init__(self, bad_calls: int) -> None:
        super().__init__()
        self.bad_calls = bad_calls

    def publish(self, messages: Sequence[Message]) -> None:
        if not self.bad_calls:
            return super().publish(messages)
        self.bad_calls -= 1
        super().publish(messages[1::2])
        raise PublisherUnavailable("every other message is not confirmed", messages[::2])


def test_an_invoice_leads_to_a_recommendation_in_topic_and_store() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", "7", DAY, "A", "B"))
    (message,) = harness.messages("recommendations")
    assert message.key == b"7"
    recommendation = msgspec.json.decode(message.value or b"", type=Recommendation)
    assert recommendation.customer_id == "7"
    assert recommendation.trigger.invoice_no == "1"
    assert (recommendation.trigger.topic, recommendation.trigger.partition, recommendation.trigger.offset) == (
        "invoices",
        0,
        0,
    )
    assert recommendation.generated_at == "2011-12-09T12:50:00Z"
    assert recommendation.valid_until == "2012-01-08T12:50:00Z"
    assert [(item.stock_code, item.description) for item in recommendation.items] == [("A", "ITEM A"), ("B", "ITEM B")]
    assert harness.store.recommendation("7") == recommendation
    assert harness.metric("recommendations_total", fate="sent") == 1
    assert harness.metric("events_total") == 1
    assert harness.metric("latency_seconds_sum") == 0.5


def test_the_customers_of_a_batch_share_one_model_call() -> None:
    harness = ProcessorHarness()
    harness.process(*(invoice(str(n), str(n % 3), DAY, f"A{n}") for n in range(9)))
    assert harness.scorer.calls == [["0", "1", "2"]]
    assert [recommendation["customer_id"] for recommendation in harness.recommendations()] == ["0", "1", "2"]
    assert [recommendation["trigger"]["offset"] for recommendation in harness.recommendations()] == [6, 7, 8]


def test_an_event_that_is_delivered_again_changes_nothing() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", "7", DAY, "A"))
    harness.process(invoice("1", "7", DAY, "A"))
    assert len(harness.recommendations()) == 1
    assert harness.metric("lines_total", fate="known") == 1


def test_an_unchanged_recommendation_is_not_sent_and_not_pending() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", "7", DAY, "A", "B"))
    harness.process(invoice("1", "7", DAY, "A", quantity=3))  # a further line, the same basket
    assert len(harness.recommendations()) == 1
    assert harness.metric("recommendations_total", fate="unchanged") == 1
    calls = len(harness.scorer.calls)
    harness.process(invoice("1", "7", DAY, "A"))
    assert len(harness.scorer.calls) == calls


def test_a_new_model_serves_the_next_change() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", "7", DAY, "A"))
    harness.scorer = CountingScorer("2")
    harness.process(invoice("1", "7", DAY, "A", quantity=3))
    assert [recommendation["model"]["version"] for recommendation in harness.recommendations()] == ["1", "2"]


def test_invalid_events_are_dead_lettered_and_the_others_applied() -> None:
    harness = ProcessorHarness()
    bad = [b"not json", b"", None, b'{"invoice_no": "1"}', b'{"a": ' + b"[" * 5_000]
    harness.process(invoice("1", "7", DAY, "A"), *bad, invoice("2", "8", DAY, "B"))
    letters = harness.dead_letters()
    assert [letter.value for letter in letters] == bad
    assert all(letter.key == b"key" for letter in letters)
    headers = dict(letters[0].headers)
    assert headers["source-topic"] == b"invoices"
    assert headers["source-partition"] == b"0"
    assert [dict(letter.headers)["source-offset"] for letter in letters] == [b"1", b"2", b"3", b"4", b"5"]
    assert headers["dead-lettered-at"] == b"2011-12-09T12:50:00Z"
    assert b"not JSON" in headers["reason"]
    assert [recommendation["customer_id"] for recommendation in harness.recommendations()] == ["7", "8"]
    assert harness.metric("dead_letters_total", cause="invalid") == len(bad)


def test_anonymous_sales_are_counted_and_skipped() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", None, DAY, "A"), invoice("2", "", DAY, "A"))
    assert harness.published.messages == []
    assert harness.store.now() is None
    assert harness.metric("anonymous_events_total") == 2


def test_excluded_lines_are_counted_by_reason() -> None:
    harness = ProcessorHarness(dialect="uci")
    harness.process(invoice("1", "7", DAY, "POST", "22613"))
    assert harness.metric("lines_total", fate="not_a_product") == 1
    assert harness.metric("lines_total", fate="new") == 1
    assert harness.dead_letters() == []


def test_an_event_over_the_bound_of_a_history_is_dead_lettered_and_not_applied() -> None:
    harness = ProcessorHarness(max_history_lines="3")
    harness.process(invoice("1", "7", DAY, "A", "B"), invoice("2", "7", DAY, "C", "D"), invoice("3", "7", DAY, "E"))
    (letter,) = harness.dead_letters()
    assert json.loads(letter.value or b"")["invoice_no"] == "2"
    history = harness.store.history("7")
    assert history is not None
    assert [held.invoice_no for held in history.invoices] == ["1", "3"]
    assert harness.metric("dead_letters_total", cause="refused") == 1


def test_an_outage_of_the_store_is_retried() -> None:
    harness = ProcessorHarness(store=FlakyStore(down=3))
    harness.process(invoice("1", "7", DAY, "A"))
    assert len(harness.recommendations()) == 1
    assert harness.metric("outage_seconds_total", service="Redis") > 0


def test_a_lost_answer_of_the_store_counts_a_sale_once() -> None:
    harness = ProcessorHarness(store=FlakyStore(lost=1))
    harness.process(invoice("1", "7", DAY, "A"))
    assert len(harness.recommendations()) == 1
    assert harness.store.items().states["A"].sold == 1


def test_unconfirmed_messages_are_published_again() -> None:
    publisher = FlakyPublisher(bad_calls=4)
    harness = ProcessorHarness(publisher=publisher)
    harness.process(*(invoice(str(n), str(n), DAY, "A") for n in range(8)), b"bad")
    sent = sorted((message.topic, message.key) for message in publisher.messages)
    assert sent == sorted([*(("recommendations", str(n).encode()) for n in range(8)), ("invoices.dead-letter", b"key")])


def test_a_stop_in_an_outage_abandons_the_batch() -> None:
    harness = ProcessorHarness(store=FlakyStore(down=10**9))
    threading.Timer(0.05, harness.stop.set).start()
    with pytest.raises(Stopped):
        harness.process(invoice("1", "7", DAY, "A"))
    assert harness.published.messages == []


def test_a_stop_without_an_outage_finishes_the_batch() -> None:
    harness = ProcessorHarness()
    harness.stop.set()
    harness.process(invoice("1", "7", DAY, "A"))
    assert len(harness.recommendations()) == 1


def test_a_refused_batch_is_applied_event_by_event() -> None:
    harness = ProcessorHarness(store=RefusingStore("8"))
    harness.process(invoice("1", "7", DAY, "A"), invoice("2", "8", DAY, "B"), invoice("3", "7", DAY, "C"))
    (letter,) = harness.dead_letters()
    assert json.loads(letter.value or b"")["invoice_no"] == "2"
    assert b"something else" in dict(letter.headers)["reason"]
    (recommendation,) = harness.recommendations()
    assert {item["stock_code"] for item in recommendation["items"]} == {"A", "C"}
    assert recommendation["trigger"]["offset"] == 2


def test_the_updates_of_a_refused_batch_are_merged() -> None:
    harness = ProcessorHarness(store=RefusingStore("8"))
    harness.process(invoice("1", "7", "2011-12-01T10:00:00Z", "A"))
    harness.process(invoice("2", "7", DAY, "A"), invoice("3", "8", DAY, "B"), invoice("4", "7", DAY, "C"))
    assert [(score["invoice_no"], score["hit_at_10"]) for score in harness.scores()] == [("2", 1), ("4", 0)]
    assert harness.metric("scores_total") == 2
    assert harness.metric("score_hits_total") == 1


def test_a_store_that_refuses_everything_dead_letters_nothing() -> None:
    harness = ProcessorHarness(store=RefusingStore("", everything=True))
    with pytest.raises(StoreRefused):
        harness.process(invoice("1", "7", DAY, "A"))
    assert harness.published.messages == []


def test_a_refused_confirmation_does_not_affect_other_customers() -> None:
    harness = ProcessorHarness(store=RefusingStore(""))
    harness.process(invoice("1", "refused at the confirm", DAY, "A"), invoice("2", "8", DAY, "A"))
    assert len(harness.recommendations()) == 2
    assert harness.store.recommendation("8") is not None
    harness.process(
        invoice("1", "refused at the confirm", DAY, "A", quantity=2), invoice("2", "8", DAY, "A", quantity=2)
    )
    assert harness.metric("recommendations_total", fate="unchanged") == 1
    calls = len(harness.scorer.calls)
    harness.process(invoice("2", "8", DAY, "A"))  # known, and its unchanged recommendation was confirmed
    assert len(harness.scorer.calls) == calls


def test_a_customer_that_the_model_fails_for_gets_the_fallback(caplog: pytest.LogCaptureFixture) -> None:
    scorer = CountingScorer(fails=lambda histories: any(history.customer_id == "8" for history in histories))
    harness = ProcessorHarness(scorer=scorer)
    with caplog.at_level(logging.ERROR):
        harness.process(*(invoice(str(n), str(n), DAY, "A") for n in (7, 8, 9)))
    versions = {
        recommendation["customer_id"]: recommendation["model"]["version"]
        for recommendation in harness.recommendations()
    }
    assert versions == {"7": "1", "8": "fallback", "9": "1"}
    assert harness.metric("fallback_predictions_total") == 1
    assert "customer 8" in caplog.text


def test_an_invoice_is_scored_against_the_recommendation_before_its_first_line() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", "7", "2011-12-01T10:00:00Z", "A", "B"))
    first = harness.recommendations()[0]
    harness.process(invoice("2", "7", DAY, "B", "C"))
    harness.process(invoice("2", "7", DAY, "D"))
    one, two = harness.scores()
    assert one["rec_id"] == two["rec_id"] == first["rec_id"]
    assert one["model"] == "counting/1"
    assert (one["items"], one["hit_at_1"], one["hit_at_10"], one["recall_at_10"]) == (2, 0, 1, 0.5)
    assert (two["items"], two["recall_at_10"]) == (3, round(1 / 3, 6))
    assert harness.messages(harness.settings.topics.scores)[0].key == b"7"
    assert harness.metric("score_hits_total") == 2


def test_latency_is_from_the_timestamp_of_the_record_to_the_confirmation() -> None:
    harness = ProcessorHarness()
    record = harness.incoming(invoice("1", "7", DAY, "A"))  # half a second old
    harness.clock = CLOCK + 2
    harness.processor.process([record, msgspec.structs.replace(record, offset=1, timestamp=None)])
    assert harness.metric("latency_seconds_sum") == 2.5
    assert harness.metric("latency_seconds_count") == 1


def test_validity_starts_at_the_greatest_event_date() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", "7", "2011-06-01T00:00:00Z", "A"))
    harness.process(invoice("2", "8", "2011-05-01T00:00:00Z", "B"))
    assert [recommendation["valid_until"][:10] for recommendation in harness.recommendations()] == [
        "2011-07-01",
        "2011-07-01",
    ]
    assert {recommendation["generated_at"] for recommendation in harness.recommendations()} == {"2011-12-09T12:50:00Z"}


def test_an_emptied_store_is_read_from_the_start() -> None:
    harness = ProcessorHarness()
    for number in range(5):
        harness.process(invoice(str(number), "7", DAY, "OLD", f"A{number}"))
    harness.store.__init__(harness.settings)  # type: ignore[misc]
    harness.process(invoice("9", "8", DAY, "NEW"))
    recommendation = harness.recommendations()[-1]
    assert [item["stock_code"] for item in recommendation["items"]] == ["NEW"]


def test_revisions_rise_with_the_clock_after_the_store_was_emptied() -> None:
    harness = ProcessorHarness()
    harness.process(invoice("1", "7", DAY, "A"))
    harness.store.__init__(harness.settings)  # type: ignore[misc]
    harness.clock = CLOCK + 60
    harness.process(invoice("2", "7", DAY, "B"))
    first, second = harness.recommendations()
    assert second["revision"] > first["revision"]
