"""Merged and erased customers in the stream: state, topics, and events that come early, late, or again."""

import json
from collections.abc import Callable, Sequence, Set
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.domain.history import canonical_json
from state.domain.identities import Identities, Pseudonyms
from state.domain.receipt import Finding, Receipt, is_genuine
from state.events.invoice import Invoice, Line
from state.store.identities import IdentityLog, MemoryIdentities
from state.store.memory import MemoryStore
from stream.messages import Message
from stream.pipeline.erasure import Forget, Traces
from stream.pipeline.memory_publisher import MemoryPublisher
from tests.unit.stream.harness import ProcessorHarness, invoice

DAY = "2011-12-09T12:50:00Z"
PSEUDONYMS = Pseudonyms("k" * 32)


def erased(customer: str) -> dict[str, Any]:
    return {"type": "customer.erased", "version": 1, "customer_id": customer}


def merged(old: str, new: str) -> dict[str, Any]:
    return {"type": "customer.merged", "version": 1, "customer_id": old, "into": new}


@pytest.fixture
def shop() -> ProcessorHarness:
    return ProcessorHarness(identities=MemoryIdentities(PSEUDONYMS))


def last(shop: ProcessorHarness, customer: str) -> Message:
    key = customer.encode()
    return [one for one in shop.messages(shop.settings.topics.recommendations) if one.key == key][-1]


def log(shop: ProcessorHarness) -> Identities:
    """The lists as somebody reads them who has the topic of customers alone."""
    records = IdentityLog(PSEUDONYMS)
    for message in shop.messages(shop.settings.topics.customers):
        records.add(message.key, message.value)
    return records.identities


def receipts(shop: ProcessorHarness) -> list[Receipt]:
    import msgspec

    return [
        msgspec.json.decode(message.value or b"", type=Receipt)
        for message in shop.messages(shop.settings.topics.customers)
        if (message.key or b"").startswith(b"receipt:")
    ]


def test_an_erased_customer_is_gone_and_stays_away(shop: ProcessorHarness) -> None:
    shop.process(invoice("1", "anna", DAY, "A", "B"), invoice("2", "ben", DAY, "B"))
    shop.process(erased("anna"))
    assert shop.store.history("anna") is None
    assert shop.store.recommendation("anna") is None
    assert last(shop, "anna").value is None
    shop.process(invoice("3", "anna", DAY, "C"), invoice("1", "anna", DAY, "A"))
    assert shop.store.history("anna") is None
    assert last(shop, "anna").value is None
    assert shop.store.history("ben") is not None
    assert shop.metric("erased_events_total") == 2
    assert log(shop).erasure("anna") is not None


def test_events_of_a_batch_before_and_after_the_order_are_passed_over(shop: ProcessorHarness) -> None:
    shop.process(invoice("1", "anna", DAY, "A"), erased("anna"), invoice("2", "anna", DAY, "B"))
    assert shop.store.history("anna") is None
    assert last(shop, "anna").value is None
    assert shop.metric("erased_events_total") == 2


def test_no_topic_of_this_program_names_an_erased_customer_but_its_tombstone(shop: ProcessorHarness) -> None:
    shop.process(invoice("1", "secret-id", DAY, "A"), merged("other-secret", "secret-id"))
    before = len(shop.published.messages)
    shop.process(erased("other-secret"))
    for message in shop.published.messages[before:]:
        assert b"secret" not in (message.value or b"")
        assert all(b"secret" not in value for _, value in message.headers)
        assert b"secret" not in (message.key or b"") or message.value is None


def test_the_receipt_is_signed_and_counts_what_was_found(shop: ProcessorHarness) -> None:
    shop.process(invoice("1", "anna", DAY, "A"), merged("old anna", "anna"), erased("anna"))
    (receipt,) = receipts(shop)
    assert is_genuine(receipt, PSEUDONYMS)
    assert receipt.customer == PSEUDONYMS.of("anna")
    assert receipt.ids == 2
    assert receipt.erased_at == "2011-12-09T12:50:00Z"
    remains = {one.location: one.remains for one in receipt.findings}
    assert "BGREWRITEAOF" in remains["files of Redis"]
    assert "models prune" in remains["models"]
    assert all(written in remains["files of yours"] for written in ("export", "webhook --dead-letters", "eda"))


def test_an_order_to_erase_needs_the_key() -> None:
    shop = ProcessorHarness(identities=MemoryIdentities())
    shop.process(invoice("1", "anna", DAY, "A"))
    shop.process(erased("anna"))
    (letter,) = shop.dead_letters()
    assert b"NEXTBASKET_ERASURE_KEY_FILE" in dict(letter.headers)["reason"]
    assert shop.store.history("anna") is not None


def whole(*events: dict[str, Any]) -> bytes | None:
    """The canonical history of ``new`` where all events come under that id."""
    shop = ProcessorHarness()
    shop.process(*({**event, "customer_id": "new"} for event in events))
    history = shop.store.history("new")
    assert history is not None
    return canonical_json(history)


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("one_batch", [True, False])
def test_merged_histories_are_one_whenever_the_merge_comes(shop: ProcessorHarness, at: int, one_batch: bool) -> None:
    events = [
        invoice("1", "old", "2011-12-01T10:00:00Z", "A"),
        invoice("2", "new", "2011-12-02T10:00:00Z", "B", "C"),
        invoice("1", "new", "2011-12-01T10:00:00Z", "D"),
        invoice("3", "old", "2011-12-03T10:00:00Z", "E"),
    ]
    expected = whole(*events)
    arriving = [*events[:at], merged("old", "new"), *events[at:]]
    if one_batch:
        shop.process(*arriving)
    else:
        for event in arriving:
            shop.process(event)
    shop.process(merged("old", "new"))
    history = shop.store.history("new")
    assert history is not None
    assert canonical_json(history) == expected
    assert shop.store.history("old") is None
    assert last(shop, "old").value is None
    assert json.loads(last(shop, "new").value or b"")["customer_id"] == "new"
    sold = {code: state.sold for code, state in shop.store.items().states.items()}
    assert sold == dict.fromkeys("ABCDE", 1)
    assert log(shop).current("old") == "new"


def test_chains_lead_to_their_end_and_a_cycle_is_refused(shop: ProcessorHarness) -> None:
    for number, name in enumerate(("a", "b", "c")):
        shop.process(invoice(str(number), name, DAY, "A"))
    shop.process(merged("a", "b"))
    shop.process(merged("b", "c"))
    shop.process(merged("c", "a"))
    shop.process(invoice("9", "a", DAY, "Z"))
    history = shop.store.history("c")
    assert history is not None
    assert [one.invoice_no for one in history.invoices] == ["0", "1", "2", "9"]
    (letter,) = shop.dead_letters()
    assert b"cycle" in dict(letter.headers)["reason"]


def test_erasing_a_merged_customer_erases_all_ids(shop: ProcessorHarness) -> None:
    shop.process(invoice("1", "old", DAY, "A"), invoice("2", "new", DAY, "B"), merged("old", "new"))
    shop.process(erased("old"))
    shop.process(invoice("3", "old", DAY, "A"), invoice("4", "new", DAY, "A"), merged("third", "new"))
    assert list(shop.store.histories()) == []
    assert log(shop).aliases == {}
    assert all(log(shop).erasure(name) is not None for name in ("old", "new"))


class Interrupted(Exception):
    pass


class CrashingStore(MemoryStore):
    """Fails at the removal of a merged customer, once."""

    crashes = True

    def remove_merged(
        self, customer_id: str, revision: int, *, clock_ms: int, not_taken: Set[str] = frozenset()
    ) -> bool:
        if self.crashes:
            self.crashes = False
            raise Interrupted
        return super().remove_merged(customer_id, revision, clock_ms=clock_ms, not_taken=not_taken)


def test_a_merge_that_a_crash_interrupts_is_completed_by_the_same_events() -> None:
    settings = ProcessorHarness().settings
    shop = ProcessorHarness(store=CrashingStore(settings), identities=MemoryIdentities(PSEUDONYMS))
    shop.process(invoice("1", "old", DAY, "A"))
    with pytest.raises(Interrupted):
        shop.process(merged("old", "new"))
    shop.process(merged("old", "new"))
    assert shop.store.history("old") is None
    assert {code: state.sold for code, state in shop.store.items().states.items()} == {"A": 1}
    assert json.loads(last(shop, "new").value or b"")["customer_id"] == "new"


def test_a_merge_removes_what_was_computed_and_an_erasure_also_what_waits() -> None:
    forgotten: list[tuple[str, str]] = []

    def forget(what: str) -> Forget:
        def from_customer(customer_id: str) -> list[Finding]:
            forgotten.append((what, customer_id))
            return [Finding(what, 1, 1)]

        return from_customer

    traces = Traces((forget("due list"),), (forget("dead letters"),))
    shop = ProcessorHarness(identities=MemoryIdentities(PSEUDONYMS), traces=traces)
    shop.process(invoice("1", "old", DAY, "A"), merged("old", "new"))
    assert set(forgotten) == {("due list", "old")}
    forgotten.clear()
    shop.process(erased("new"))
    assert set(forgotten) == {(what, name) for what in ("due list", "dead letters") for name in ("old", "new")}
    found = {one.location: (one.found, one.removed) for one in receipts(shop)[0].findings}
    assert found["due list"] == found["dead letters"] == (2, 2)


class ChangingStore(MemoryStore):
    """A history that another worker changes while it is merged, once."""

    changes = True

    def remove_merged(
        self, customer_id: str, revision: int, *, clock_ms: int, not_taken: Set[str] = frozenset()
    ) -> bool:
        if self.changes:
            self.changes = False
            self.apply([Invoice("8", customer_id, 1_000_000, (Line("Y", 1000, 1.0),))], clock_ms=clock_ms)
        return super().remove_merged(customer_id, revision, clock_ms=clock_ms, not_taken=not_taken)


def test_a_history_in_the_middle_of_a_chain_that_changes_meanwhile_is_merged_again() -> None:
    identities = MemoryIdentities(PSEUDONYMS)
    shop = ProcessorHarness(store=ChangingStore(ProcessorHarness().settings), identities=identities)
    shop.process(invoice("1", "b", DAY, "A"))
    assert identities.alias("a", "b")
    assert identities.alias("b", "c")
    shop.process(invoice("2", "a", DAY, "B"))
    history = shop.store.history("c")
    assert history is not None
    assert {one.invoice_no for one in history.invoices} == {"1", "2", "8"}
    assert shop.store.history("b") is None
    assert {code: state.sold for code, state in shop.store.items().states.items()} == {"A": 1, "B": 1, "Y": 1}


def test_a_merge_beyond_the_bound_of_a_history_is_refused_and_changes_nothing() -> None:
    shop = ProcessorHarness(identities=MemoryIdentities(PSEUDONYMS), max_history_lines="2")
    shop.process(invoice("1", "old", DAY, "A", "B"), invoice("2", "new", DAY, "C"))
    shop.process(merged("old", "new"))
    (letter,) = shop.dead_letters()
    assert b"NEXTBASKET_MAX_HISTORY_LINES" in dict(letter.headers)["reason"]
    assert shop.store.history("old") is not None
    assert log(shop).aliases == {}


def dates(count: int) -> list[str]:
    return [f"2011-11-{day:02d}T10:00:00Z" for day in range(1, count + 1)]


@pytest.mark.parametrize("one_batch", [True, False])
def test_what_left_the_window_of_a_merged_customer_counts_no_more_when_it_comes_again(one_batch: bool) -> None:
    shop = ProcessorHarness(identities=MemoryIdentities(PSEUDONYMS), window="2")
    events = [invoice(str(number), "old", date, f"I{number}") for number, date in enumerate(dates(5))]
    shop.process(*events)
    merge = merged("old", "new")
    if one_batch:
        shop.process(merge, *events)
    else:
        for event in (merge, *events):
            shop.process(event)
    history = shop.store.history("new")
    assert history is not None
    assert [one.invoice_no for one in history.invoices] == ["3", "4"]
    assert history.watermark is not None
    assert history.watermark[1] == "2"
    assert {code: state.sold for code, state in shop.store.items().states.items()} == {f"I{n}": 1 for n in range(5)}
    assert shop.store.history("old") is None
    assert shop.metric("lines_total", fate="behind") == 3


def test_what_is_older_than_the_window_of_the_other_customer_stays_counted() -> None:
    shop = ProcessorHarness(identities=MemoryIdentities(PSEUDONYMS), window="2")
    for number, date in enumerate(dates(9)):
        shop.process(invoice(str(number), ("a", "b", "c")[number // 3], date, "A"))
    shop.process(merged("a", "b"))
    shop.process(merged("b", "c"), invoice("8", "a", dates(9)[8], "A"))
    history = shop.store.history("c")
    assert history is not None
    assert [one.invoice_no for one in history.invoices] == ["7", "8"]
    assert shop.store.items().states["A"].sold == 9


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_merge_gives_the_history_of_one_customer_with_a_full_window_in_any_order(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 12), label="invoices")
    events = [
        invoice(str(number), data.draw(st.sampled_from(["old", "new"])), date, f"I{number % 4}")
        for number, date in enumerate(dates(size))
    ]
    arriving = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=4))))
    for _ in range(data.draw(st.integers(1, 2), label="merges")):
        arriving.insert(data.draw(st.integers(0, len(arriving))), merged("old", "new"))
    # After the merge, what left the window before it comes again, as after a reset of offsets.
    arriving += [each for each in arriving if data.draw(st.booleans())]
    shop = ProcessorHarness(identities=MemoryIdentities(PSEUDONYMS), window="3")
    whole = ProcessorHarness(window="3")
    batches: list[list[dict[str, Any]]] = [[]]
    for event in arriving:
        batches[-1].append(event)
        if data.draw(st.booleans()):
            batches.append([])
    for batch in batches:
        shop.process(*batch)
    whole.process(*({**event, "customer_id": "new"} for event in arriving if "into" not in event))
    got, expected = shop.store.history("new"), whole.store.history("new")
    assert got is not None
    assert expected is not None
    assert got.invoices == expected.invoices
    assert got.watermark == expected.watermark
    assert shop.store.history("old") is None


class RacingStore(MemoryStore):
    """Another worker lists a customer as erased, or merged, while this one applies an event."""

    def __init__(self, harness: ProcessorHarness) -> None:
        super().__init__(harness.settings)
        self.race: Callable[[], None] = lambda: None

    def apply(self, invoices: Any, *, clock_ms: int) -> Any:
        race = self.race
        self.race = lambda: None
        race()
        return super().apply(invoices, clock_ms=clock_ms)


@pytest.mark.parametrize("order", ["erased", "merged"])
def test_an_order_that_another_worker_takes_meanwhile_wins(order: str) -> None:
    identities = MemoryIdentities(PSEUDONYMS)
    store = RacingStore(ProcessorHarness())
    shop = ProcessorHarness(store=store, identities=identities)
    other = ProcessorHarness(store=store, identities=identities)
    store.race = lambda: other.process(erased("old") if order == "erased" else merged("old", "new"))
    shop.process(invoice("1", "old", DAY, "A"))
    assert store.history("old") is None
    assert last(shop, "old").value is None
    if order == "merged":
        history = store.history("new")
        assert history is not None
        assert [one.invoice_no for one in history.invoices] == ["1"]
        assert {code: state.sold for code, state in store.items().states.items()} == {"A": 1}


class RacingPublisher(MemoryPublisher):
    """Another worker erases a customer between what this one applied and what it publishes; it may end there."""

    def __init__(self) -> None:
        super().__init__()
        self.race: Callable[[], None] = lambda: None
        self.ends = False

    def publish(self, messages: Sequence[Message]) -> None:
        race = self.race
        self.race = lambda: None
        race()
        super().publish(messages)
        if self.ends and any(message.key == b"anna" and message.value for message in messages):
            self.ends = False
            raise Interrupted


@pytest.mark.parametrize("ends", [False, True], ids=["the worker goes on", "the worker ends, and another takes over"])
@pytest.mark.parametrize("order", [erased("anna"), merged("anna", "new")], ids=["erased", "merged"])
def test_a_recommendation_that_was_on_its_way_is_deleted_after_the_order(ends: bool, order: dict[str, Any]) -> None:
    identities, published = MemoryIdentities(PSEUDONYMS), RacingPublisher()
    store = MemoryStore(ProcessorHarness().settings)

    def worker() -> ProcessorHarness:
        return ProcessorHarness(store=store, identities=identities, publisher=published)

    published.race, published.ends = lambda: worker().process(order), ends
    event = invoice("1", "anna", DAY, "A")
    if ends:
        with pytest.raises(Interrupted):
            worker().process(event)
        worker().process(event)
    else:
        worker().process(event)
    sent = [one for one in published.messages if (one.topic, one.key) == ("recommendations", b"anna")]
    assert [one.value is None for one in sent] == [True, False, True]
    assert store.history("anna") is None


def test_lists_that_redis_lost_are_read_from_kafka_before_anything_is_applied(shop: ProcessorHarness) -> None:
    class Lost(MemoryIdentities):
        lost = True

        def lookup(self, customer_ids: Any) -> Identities | None:
            return None if self.lost else super().lookup(customer_ids)

        def restore(self, identities: Identities) -> None:
            self.lost = False
            super().restore(identities)

    shop.process(erased("anna"))
    after = ProcessorHarness(identities=Lost(PSEUDONYMS), read_log=lambda: log(shop))
    after.process(invoice("1", "anna", DAY, "A"))
    assert after.store.history("anna") is None


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (b'{"type": "customer.erased"}', "customer_id"),
        (b'{"type": "customer.erased", "customer_id": null}', "customer_id"),
        (b'{"type": "customer.erased", "customer_id": []}', "customer_id"),
        (b'{"type": "customer.merged", "customer_id": 1}', "into"),
        (b'{"type": "customer.merged", "customer_id": 1, "into": "1.0"}', "into"),
        (b'{"type": "customer.merged", "customer_id": 1, "into": "2", "version": 2}', "version"),
        (b'{"type": "customer.erased", "customer_id": "a\\u001b"}', "customer_id"),
        (b'{"type": "customer.other", "customer_id": 1}', None),
    ],
)
def test_a_change_that_breaks_the_contract_is_a_dead_letter(
    shop: ProcessorHarness, event: bytes, field: str | None
) -> None:
    shop.process(event)
    (letter,) = shop.dead_letters()
    assert dict(letter.headers)["reason"].startswith((field or "The event").encode())


def test_an_invoice_may_hold_the_words_of_a_change(shop: ProcessorHarness) -> None:
    shop.process({**invoice("1", "anna", DAY, "A"), "customer.erased": True, "note": '"customer.erased"'})
    assert shop.store.history("anna") is not None
