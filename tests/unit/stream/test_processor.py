import json
import logging
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from state.domain.recommendation import Recommendation
from state.errors import StoreRefused, StoreUnavailable
from state.events.invoice import Invoice
from state.settings import load_settings
from state.store.memory import MemoryStore
from state.store.protocol import ApplyResult
from stream.errors import MessageTooLarge, PublisherUnavailable, Stopped
from stream.messages import Message
from stream.pipeline.dead_letters import OMITTED_BYTES, OMITTED_SHA256
from stream.pipeline.memory_publisher import MemoryPublisher
from tests.unit.stream.harness import CLOCK, CountingScorer, Workbench, invoice

DAY = "2011-12-09T12:50:00Z"


class FlakyStore(MemoryStore):
    """Does not answer for a number of calls; an answer can also get lost after the work was done."""

    def __init__(self, down: int = 0, lost: int = 0) -> None:
        super().__init__(load_settings({}))
        self.down = down
        self.lost = lost

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> ApplyResult:
        if self.down:
            self.down -= 1
            raise StoreUnavailable("Redis does not answer: told so")
        applied = super().apply(invoices, clock_ms=clock_ms)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("Redis does not answer: its answer was lost")
        return applied


class PickyStore(MemoryStore):
    """Refuses every call that holds an invoice of one customer, or, where told so, every call at all."""

    def __init__(self, refused: str, *, everything: bool = False) -> None:
        super().__init__(load_settings({}))
        self.refused = refused
        self.everything = everything

    def apply(self, invoices: Sequence[Invoice], *, clock_ms: int) -> ApplyResult:
        if self.everything or any(one.customer_id == self.refused for one in invoices):
            raise StoreRefused("The keys of a customer hold something else")
        return super().apply(invoices, clock_ms=clock_ms)

    def items(self, since: int = 0) -> Any:
        if self.everything:
            raise StoreRefused("A key of the items holds something else")
        return super().items(since)

    def confirm(self, recommendations: Sequence[Recommendation], unchanged: Any = ()) -> None:
        if any(one.customer_id == "picky at the end" for one in recommendations):
            raise StoreRefused("The key of a recommendation holds something else")
        super().confirm(recommendations, unchanged)


class FlakyPublisher(MemoryPublisher):
    """Confirms only every other message of its first calls."""

    def __init__(self, bad_calls: int) -> None:
        super().__init__()
        self.bad_calls = bad_calls

    def publish(self, messages: Sequence[Message]) -> None:
        if not self.bad_calls:
            return super().publish(messages)
        self.bad_calls -= 1
        super().publish(messages[1::2])
        raise PublisherUnavailable("told so", messages[::2])


class SmallPublisher(MemoryPublisher):
    """Takes no message whose value and key have more than ``most`` bytes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def publish(self, messages: Sequence[Message]) -> None:
        def fits(message: Message) -> bool:
            return len(message.value or b"") + len(message.key or b"") <= self.most

        super().publish([message for message in messages if fits(message)])
        if too_large := [message for message in messages if not fits(message)]:
            raise MessageTooLarge(too_large)


def test_an_invoice_becomes_a_recommendation_in_topic_and_store() -> None:
    bench = Workbench()
    bench.process(invoice("1", "7", DAY, "A", "B"))
    (message,) = bench.messages("recommendations")
    assert message.key == b"7"
    answer = msgspec.json.decode(message.value or b"", type=Recommendation)
    assert answer.customer_id == "7"
    assert answer.trigger.invoice_no == "1"
    assert (answer.trigger.topic, answer.trigger.partition, answer.trigger.offset) == ("invoices", 0, 0)
    assert answer.generated_at == "2011-12-09T12:50:00Z"
    assert answer.valid_until == "2012-01-08T12:50:00Z"
    assert [(item.stock_code, item.description) for item in answer.items] == [("A", "ITEM A"), ("B", "ITEM B")]
    assert bench.store.recommendation("7") == answer
    assert bench.metric("recommendations_total", fate="sent") == 1
    assert bench.metric("events_total") == 1
    assert bench.metric("latency_seconds_sum") == 0.5


def test_customers_of_a_batch_share_one_model_call_and_get_one_answer_each() -> None:
    bench = Workbench()
    bench.process(*(invoice(str(n), str(n % 3), DAY, f"A{n}") for n in range(9)))
    assert bench.scorer.calls == [["0", "1", "2"]]
    assert [answer["customer_id"] for answer in bench.recommendations()] == ["0", "1", "2"]
    assert [answer["trigger"]["offset"] for answer in bench.recommendations()] == [6, 7, 8]


def test_an_event_delivered_again_says_nothing_new() -> None:
    bench = Workbench()
    bench.process(invoice("1", "7", DAY, "A"))
    bench.process(invoice("1", "7", DAY, "A"))
    assert len(bench.recommendations()) == 1
    assert bench.metric("lines_total", fate="known") == 1


def test_an_answer_that_stays_the_same_is_not_sent_again_and_no_longer_owed() -> None:
    bench = Workbench()
    bench.process(invoice("1", "7", DAY, "A", "B"))
    bench.process(invoice("1", "7", DAY, "A", quantity=3))  # a further line, the same basket
    assert len(bench.recommendations()) == 1
    assert bench.metric("recommendations_total", fate="unchanged") == 1
    calls = len(bench.scorer.calls)
    bench.process(invoice("1", "7", DAY, "A"))
    assert len(bench.scorer.calls) == calls


def test_a_new_model_speaks_at_the_next_change() -> None:
    bench = Workbench()
    bench.process(invoice("1", "7", DAY, "A"))
    bench.scorer = CountingScorer("2")
    bench.process(invoice("1", "7", DAY, "A", quantity=3))
    assert [answer["model"]["version"] for answer in bench.recommendations()] == ["1", "2"]


def test_bad_events_are_dead_lettered_whole_and_good_ones_beside_them_are_applied() -> None:
    bench = Workbench()
    bad = [b"not json", b"", None, b'{"invoice_no": "1"}', b'{"a": ' + b"[" * 5_000]
    bench.process(invoice("1", "7", DAY, "A"), *bad, invoice("2", "8", DAY, "B"))
    letters = bench.dead_letters()
    assert [letter.value for letter in letters] == bad
    assert all(letter.key == b"key" for letter in letters)
    headers = dict(letters[0].headers)
    assert headers["source-topic"] == b"invoices"
    assert headers["source-partition"] == b"0"
    assert [dict(letter.headers)["source-offset"] for letter in letters] == [b"1", b"2", b"3", b"4", b"5"]
    assert headers["dead-lettered-at"] == b"2011-12-09T12:50:00Z"
    assert b"not JSON" in headers["reason"]
    assert [answer["customer_id"] for answer in bench.recommendations()] == ["7", "8"]
    assert bench.metric("dead_letters_total", cause="invalid") == len(bad)


def test_anonymous_sales_are_counted_and_passed_over() -> None:
    bench = Workbench()
    bench.process(invoice("1", None, DAY, "A"), invoice("2", "", DAY, "A"))
    assert bench.published.messages == []
    assert bench.store.now() is None
    assert bench.metric("anonymous_events_total") == 2


def test_lines_that_are_no_product_sale_are_counted_by_reason() -> None:
    bench = Workbench(dialect="uci")
    bench.process(invoice("1", "7", DAY, "POST", "22613"))
    assert bench.metric("lines_total", fate="not_a_product") == 1
    assert bench.metric("lines_total", fate="new") == 1
    assert bench.dead_letters() == []


def test_an_event_over_the_cap_of_a_history_is_dead_lettered_and_not_applied() -> None:
    bench = Workbench(max_history_lines="3")
    bench.process(invoice("1", "7", DAY, "A", "B"), invoice("2", "7", DAY, "C", "D"), invoice("3", "7", DAY, "E"))
    (letter,) = bench.dead_letters()
    assert json.loads(letter.value or b"")["invoice_no"] == "2"
    history = bench.store.history("7")
    assert history is not None
    assert [held.invoice_no for held in history.invoices] == ["1", "3"]
    assert bench.metric("dead_letters_total", cause="refused") == 1


def test_an_outage_of_the_store_is_waited_out() -> None:
    bench = Workbench(store=FlakyStore(down=3))
    bench.process(invoice("1", "7", DAY, "A"))
    assert len(bench.recommendations()) == 1
    assert bench.metric("outage_seconds_total", service="Redis") > 0


def test_work_whose_answer_was_lost_is_done_once_and_still_answered() -> None:
    bench = Workbench(store=FlakyStore(lost=1))
    bench.process(invoice("1", "7", DAY, "A"))
    assert len(bench.recommendations()) == 1
    assert bench.store.items().states["A"].sold == 1


def test_a_batch_is_not_done_while_the_publisher_has_not_confirmed() -> None:
    publisher = FlakyPublisher(bad_calls=4)
    bench = Workbench(publisher=publisher)
    bench.process(*(invoice(str(n), str(n), DAY, "A") for n in range(8)), b"bad")
    sent = sorted((message.topic, message.key) for message in publisher.messages)
    assert sent == sorted([*(("recommendations", str(n).encode()) for n in range(8)), ("invoices.dead-letter", b"key")])


def test_stopping_in_an_outage_abandons_the_batch() -> None:
    bench = Workbench(store=FlakyStore(down=10**9))
    threading.Timer(0.05, bench.stop.set).start()
    with pytest.raises(Stopped):
        bench.process(invoice("1", "7", DAY, "A"))
    assert bench.published.messages == []


def test_stopping_without_an_outage_finishes_the_batch() -> None:
    bench = Workbench()
    bench.stop.set()
    bench.process(invoice("1", "7", DAY, "A"))
    assert len(bench.recommendations()) == 1


def test_what_the_store_refuses_is_found_event_by_event() -> None:
    bench = Workbench(store=PickyStore("8"))
    bench.process(invoice("1", "7", DAY, "A"), invoice("2", "8", DAY, "B"), invoice("3", "7", DAY, "C"))
    (letter,) = bench.dead_letters()
    assert json.loads(letter.value or b"")["invoice_no"] == "2"
    assert b"something else" in dict(letter.headers)["reason"]
    (answer,) = bench.recommendations()
    assert {item["stock_code"] for item in answer["items"]} == {"A", "C"}
    assert answer["trigger"]["offset"] == 2


def test_a_store_that_refuses_everything_dead_letters_nothing() -> None:
    bench = Workbench(store=PickyStore("", everything=True))
    with pytest.raises(StoreRefused):
        bench.process(invoice("1", "7", DAY, "A"))
    assert bench.published.messages == []


def test_an_answer_the_store_refuses_to_keep_stops_nobody() -> None:
    bench = Workbench(store=PickyStore(""))
    bench.process(invoice("1", "picky at the end", DAY, "A"), invoice("2", "8", DAY, "A"))
    assert len(bench.recommendations()) == 2
    assert bench.store.recommendation("8") is not None


def test_customers_the_model_fails_for_get_the_fallback(caplog: pytest.LogCaptureFixture) -> None:
    scorer = CountingScorer(fails=lambda histories: any(history.customer_id == "8" for history in histories))
    bench = Workbench(scorer=scorer)
    with caplog.at_level(logging.ERROR):
        bench.process(*(invoice(str(n), str(n), DAY, "A") for n in (7, 8, 9)))
    versions = {answer["customer_id"]: answer["model"]["version"] for answer in bench.recommendations()}
    assert versions == {"7": "1", "8": "fallback", "9": "1"}
    assert bench.metric("fallback_predictions_total") == 1
    assert "customer 8" in caplog.text


def test_a_customer_that_nothing_can_be_said_to_stops_nobody() -> None:
    def always(_: object) -> bool:
        return True

    bench = Workbench(scorer=CountingScorer(fails=always), fallback=CountingScorer(fails=always))
    bench.process(invoice("1", "7", DAY, "A"))
    assert bench.recommendations() == []
    assert bench.metric("events_total") == 1


def test_a_dead_letter_too_large_for_its_topic_goes_without_its_value() -> None:
    publisher = SmallPublisher(most=2_000)
    bench = Workbench(publisher=publisher)
    event = b"x" * 3_000
    bench.processor.process([bench.incoming(event)])
    (letter,) = publisher.messages
    headers = dict(letter.headers)
    assert letter.value is None
    assert letter.key == b"key"
    assert headers[OMITTED_BYTES] == b"3000"
    assert len(headers[OMITTED_SHA256]) == 64
    assert headers["source-offset"] == b"0"


def test_a_dead_letter_with_a_key_too_large_goes_without_both() -> None:
    publisher = SmallPublisher(most=2_000)
    bench = Workbench(publisher=publisher)
    bench.processor.process([bench.incoming(b"x" * 3_000, key=b"k" * 3_000)])
    (letter,) = publisher.messages
    assert letter.key is None


def test_a_recommendation_too_large_for_its_topic_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    publisher = SmallPublisher(most=10)
    bench = Workbench(publisher=publisher)
    bench.process(invoice("1", "7", DAY, "A"))
    assert publisher.messages == []
    assert "cannot be sent at any size" in caplog.text
    assert bench.store.recommendation("7") is not None


def test_an_invoice_is_scored_against_what_stood_before_its_first_line() -> None:
    bench = Workbench()
    bench.process(invoice("1", "7", "2011-12-01T10:00:00Z", "A", "B"))
    first = bench.recommendations()[0]
    bench.process(invoice("2", "7", DAY, "B", "C"))
    bench.process(invoice("2", "7", DAY, "D"))
    one, two = bench.scores()
    assert one["rec_id"] == two["rec_id"] == first["rec_id"]
    assert one["model"] == "counting/1"
    assert (one["items"], one["hit_at_1"], one["hit_at_10"], one["recall_at_10"]) == (2, 0, 1, 0.5)
    assert (two["items"], two["recall_at_10"]) == (3, round(1 / 3, 6))
    assert bench.messages(bench.settings.topics.scores)[0].key == b"7"
    assert bench.metric("score_hits_total") == 2


def test_now_is_the_greatest_date_accepted_and_not_the_clock() -> None:
    bench = Workbench()
    bench.process(invoice("1", "7", "2011-06-01T00:00:00Z", "A"))
    bench.process(invoice("2", "8", "2011-05-01T00:00:00Z", "B"))
    assert [answer["valid_until"][:10] for answer in bench.recommendations()] == ["2011-07-01", "2011-07-01"]
    assert {answer["generated_at"] for answer in bench.recommendations()} == {"2011-12-09T12:50:00Z"}


def test_a_store_that_was_emptied_is_read_from_the_start() -> None:
    bench = Workbench()
    for number in range(5):
        bench.process(invoice(str(number), "7", DAY, "OLD", f"A{number}"))
    bench.store.__init__(bench.settings)  # type: ignore[misc]
    bench.process(invoice("9", "8", DAY, "NEW"))
    answer = bench.recommendations()[-1]
    assert [item["stock_code"] for item in answer["items"]] == ["NEW"]


def test_revisions_rise_with_the_clock_even_where_the_store_was_emptied() -> None:
    bench = Workbench()
    bench.process(invoice("1", "7", DAY, "A"))
    bench.store.__init__(bench.settings)  # type: ignore[misc]
    bench.clock = CLOCK + 60
    bench.process(invoice("2", "7", DAY, "B"))
    first, second = bench.recommendations()
    assert second["revision"] > first["revision"]
