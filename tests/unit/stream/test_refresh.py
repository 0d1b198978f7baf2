import json
from collections.abc import Callable, Sequence

import pytest

from state.domain.catalogue import Catalogue
from state.domain.history import CustomerHistory
from state.domain.recommendation import Recommendation
from state.domain.rules import Merchandising
from state.errors import CustomerRefused, StoreUnavailable
from state.events.catalogue import CatalogueItem
from state.settings import load_settings
from state.store.memory import MemoryStore
from state.store.protocol import CustomerSnapshot
from stream.messages import Message
from stream.pipeline.memory_publisher import MemoryPublisher
from stream.pipeline.refresh_plan import EXPIRY_MARGIN_S
from tests.unit.stream.harness import CLOCK, CountingScorer, ProcessorHarness, invoice
from tests.unit.stream.refreshes import PARTITIONS, MemoryProgress, RefreshHarness
from training.features.item_table import ItemTable
from training.serving.scorer import Candidate, Prediction

DATE = "2011-12-09T12:00:00Z"
CUSTOMERS = [f"c{number}" for number in range(12)]


class ReversingScorer(CountingScorer):
    """Another model: the same items in the opposite order."""

    def _predict_one(self, history: CustomerHistory, items: ItemTable, now: int, k: int) -> Prediction:
        found = super()._predict_one(history, items, now, k)
        chances = [each.probability for each in found.candidates]
        reversed_codes = [each.stock_code for each in reversed(found.candidates)]
        return Prediction([Candidate(*pair) for pair in zip(reversed_codes, chances, strict=True)], found.return_curve)


def shop(store: MemoryStore | None = None, valid_days: str = "30") -> ProcessorHarness:
    """A worker with customers who have bought, each with a list of two items."""
    worker = ProcessorHarness(store=store, valid_days=valid_days)
    worker.process(*(invoice(f"i{customer}", customer, DATE, "A", "B") for customer in CUSTOMERS))
    worker.published.messages.clear()
    return worker


def last_sent(messages: Sequence[Message]) -> dict[str, int]:
    """The revision of the last message of each customer, as a compacted topic has it."""
    return {str((message.key or b"").decode()): json.loads(message.value or b"{}")["revision"] for message in messages}


def test_nothing_is_sent_while_nothing_changes() -> None:
    worker = shop()
    refresh = RefreshHarness(worker)
    refresh.run()
    assert worker.recommendations() == []
    assert [refresh.progress.shard(each).walk for each in range(PARTITIONS)] == [None] * PARTITIONS


def test_a_new_model_refreshes_every_customer_once() -> None:
    worker = shop()
    refresh = RefreshHarness(worker)
    refresh.run()
    before = {each: worker.store.recommendation(each) for each in CUSTOMERS}
    worker.scorer = ReversingScorer(version="2")
    refresh.run()
    sent = worker.recommendations()
    assert sorted(each["customer_id"] for each in sent) == sorted(CUSTOMERS)
    assert {json.dumps(each["trigger"]) for each in sent} == {'{"refresh": "model"}'}
    for each in CUSTOMERS:
        last, old = worker.store.recommendation(each), before[each]
        assert last is not None
        assert old is not None
        assert [item.stock_code for item in last.items] == [item.stock_code for item in reversed(old.items)]
        assert last.revision > old.revision
        assert last.rec_id != old.rec_id
        assert worker.store.revisions([each]) == [last.revision]
    refresh.run()
    assert len(worker.recommendations()) == len(CUSTOMERS)
    finished = [refresh.progress.shard(each).finished for each in range(PARTITIONS)]
    assert sum(each.customers for each in finished if each) == sum(each.sent for each in finished if each) == 12
    assert worker.metric("refreshed_customers_total", outcome="sent") == 12
    assert worker.metric("refreshed_partitions_total", cause="model") == PARTITIONS


def test_a_model_that_ranks_the_same_sends_nothing() -> None:
    worker = shop()
    refresh = RefreshHarness(worker)
    refresh.run()
    worker.scorer = CountingScorer(version="2")
    refresh.run()
    assert worker.recommendations() == []
    assert worker.metric("refreshed_customers_total", outcome="unchanged") == 12
    assert refresh.progress.shard(0).reached.model == "counting/2"


def test_two_workers_refresh_each_customer_once_between_them() -> None:
    store, progress = MemoryStore(load_settings({})), MemoryProgress()
    workers = [shop(store), ProcessorHarness(store=store)]
    refreshes = [RefreshHarness(worker, progress) for worker in workers]
    for refresh, assigned in zip(refreshes, [{0, 1}, {2, 3}], strict=True):
        refresh.assigned = frozenset(assigned)
        refresh.run()
        refresh.worker.scorer = ReversingScorer(version="2")
    for refresh in refreshes:
        refresh.run()
    sent = [each["customer_id"] for worker in workers for each in worker.recommendations()]
    assert sorted(sent) == sorted(CUSTOMERS)
    assert all(worker.recommendations() for worker in workers)


def test_the_next_worker_goes_on_where_another_one_was_killed() -> None:
    store, progress = MemoryStore(load_settings({})), MemoryProgress()
    killed = RefreshHarness(shop(store), progress)
    killed.run()
    killed.worker.scorer = ReversingScorer(version="2")
    killed.refresher._size = 1
    while len(killed.worker.recommendations()) < 5:
        killed.refresher._size = 1
        killed.step()
        killed.seconds += 1
    next_worker = ProcessorHarness(store=store, scorer=ReversingScorer(version="2"))
    resumed = RefreshHarness(next_worker, progress)
    resumed.run()
    sent = [each["customer_id"] for each in [*killed.worker.recommendations(), *next_worker.recommendations()]]
    assert sorted(sent) == sorted(CUSTOMERS)
    assert [len(call) for call in next_worker.scorer.calls if call] != []
    assert sum(map(len, next_worker.scorer.calls)) == len(CUSTOMERS) - 5, "those that are done are not ranked again"


def test_a_model_that_is_rolled_back_half_way_leaves_nothing_of_it() -> None:
    worker = shop()
    refresh = RefreshHarness(worker)
    refresh.run()
    before = {each: worker.store.recommendation(each) for each in CUSTOMERS}
    old, worker.scorer = worker.scorer, ReversingScorer(version="2")
    while len(worker.recommendations()) < 5:
        refresh.refresher._size = 1
        refresh.step()
        refresh.seconds += 1
    worker.scorer = old
    refresh.run()
    for each in CUSTOMERS:
        last, first = worker.store.recommendation(each), before[each]
        assert last is not None
        assert first is not None
        assert last.items == first.items


class RacingPublisher(MemoryPublisher):
    """Another worker takes an invoice of a customer just before, or just after, a message about it is published."""

    def __init__(self, *, before: bool) -> None:
        super().__init__()
        self._before = before
        self.race: Callable[[], object] = lambda: None

    def publish(self, messages: Sequence[Message]) -> None:
        race, self.race = self.race, lambda: None
        if messages and self._before:
            race()
        super().publish(messages)
        if messages and not self._before:
            race()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("bought", [("C", "D"), ("A", "B")])
def test_an_invoice_that_another_worker_takes_meanwhile_has_the_last_word(
    before: bool, bought: tuple[str, str]
) -> None:
    store, topic = MemoryStore(load_settings({})), RacingPublisher(before=before)
    worker = ProcessorHarness(store=store, publisher=topic)
    worker.process(*(invoice(f"i{customer}", customer, DATE, "A", "B") for customer in CUSTOMERS))
    other = ProcessorHarness(store=store, publisher=topic, scorer=ReversingScorer(version="2"))
    refresh = RefreshHarness(worker)
    refresh.run()
    worker.scorer = ReversingScorer(version="2")
    topic.race = lambda: other.process(invoice("new", "c5", "2011-12-09T12:30:00Z", *bought))
    refresh.run()
    revision = store.revisions(["c5"])[0]
    last = store.recommendation("c5")
    assert last is not None
    assert last.revision == revision
    recommendations = [each for each in topic.messages if each.topic == worker.settings.topics.recommendations]
    assert last_sent(recommendations) == {each: store.revisions([each])[0] for each in CUSTOMERS}
    final = json.loads([each for each in recommendations if each.key == b"c5"][-1].value or b"")
    assert [item["stock_code"] for item in final["items"]] == [item.stock_code for item in last.items]


def test_a_customer_who_is_erased_meanwhile_stays_erased() -> None:
    store, topic = MemoryStore(load_settings({})), RacingPublisher(before=True)
    worker = ProcessorHarness(store=store, publisher=topic)
    worker.process(*(invoice(f"i{customer}", customer, DATE, "A", "B") for customer in CUSTOMERS))
    refresh = RefreshHarness(worker)
    refresh.run()
    worker.scorer = ReversingScorer(version="2")
    topic.race = lambda: store.remove("c5")
    refresh.run()
    recommendations = [each for each in topic.messages if each.topic == worker.settings.topics.recommendations]
    last = {each.key: each.value for each in recommendations}
    assert [key for key, value in last.items() if value is None] == [b"c5"]
    assert store.recommendation("c5") is None


def test_an_invoice_that_came_before_the_revision_is_reserved_is_left_to_its_worker() -> None:
    class RacingStore(MemoryStore):
        raced = False

        def snapshots(self, customer_ids: Sequence[str]) -> list[CustomerSnapshot | None]:
            found = super().snapshots(customer_ids)
            if "c5" in customer_ids and self.armed and not self.raced:
                self.raced = True
                other.process(invoice("new", "c5", "2011-12-09T12:30:00Z", "C"))
            return found

        armed = False

    store = RacingStore(load_settings({}))
    worker = shop(store)
    other = ProcessorHarness(store=store)
    refresh = RefreshHarness(worker)
    refresh.run()
    store.armed, worker.scorer = True, ReversingScorer(version="2")
    refresh.run()
    assert "c5" not in [each["customer_id"] for each in worker.recommendations()]
    assert worker.metric("refreshed_customers_total", outcome="overtaken") == 1
    assert store.recommendation("c5") is not None


def test_a_recommendation_that_was_reserved_but_never_confirmed_is_sent() -> None:
    worker = shop()
    revision = worker.store.revisions(["c5"])[0]
    worker.store.reserve([("c5", revision)], clock_ms=0)  # and then the worker was killed
    refresh = RefreshHarness(worker)
    refresh.run()
    refresh.progress.request = "2011-12-09T13:00:00Z"
    refresh.run()
    assert [each["customer_id"] for each in worker.recommendations()] == ["c5"]
    assert worker.recommendations()[0]["trigger"] == {"refresh": "asked"}


def test_only_lists_that_an_item_of_the_catalogue_touches_are_made_again() -> None:
    worker = shop()
    worker.process(invoice("x", "lonely", DATE, "Z"))
    worker.published.messages.clear()
    refresh = RefreshHarness(worker, refresh_share="1")
    refresh.run()
    calls = len(worker.scorer.calls)
    sold_out = CatalogueItem("Z", stock=0)
    worker.merchandising = Merchandising(Catalogue({"Z": sold_out}))
    refresh.changes.note("Z", 0, 7, None, sold_out)
    refresh.run()
    touched = {each for call in worker.scorer.calls[calls:] for each in call}
    assert "lonely" in touched
    assert worker.metric("refreshed_customers_total", outcome="untouched") > 0
    for each in [*CUSTOMERS, "lonely"]:
        last = worker.store.recommendation(each)
        assert last is not None
        assert "Z" not in [item.stock_code for item in last.items]
    # Back in stock: the lists that it was removed from have it again.
    restocked = CatalogueItem("Z", stock=5)
    refresh.changes.note("Z", 0, 8, sold_out, restocked)
    worker.merchandising = Merchandising(Catalogue({"Z": restocked}))
    refresh.run(600)
    last = worker.store.recommendation("lonely")
    assert last is not None
    assert last.items[0].stock_code == "Z"


def test_lists_are_made_again_when_a_sale_ends_and_when_one_begins() -> None:
    worker = shop()
    worker.process(invoice("x", "lonely", DATE, "Z"))
    worker.published.messages.clear()
    refresh = RefreshHarness(worker, refresh_share="1")
    ending = CatalogueItem("Z", on_sale_until=int(worker.clock) + 3_600)
    worker.merchandising = Merchandising(Catalogue({"Z": ending}))
    refresh.changes.note("Z", 0, 7, None, ending)
    refresh.run()
    assert worker.recommendations() == []
    worker.clock += 3_600
    refresh.run(600)
    assert [each["customer_id"] for each in worker.recommendations()] == ["lonely"]
    assert worker.recommendations()[0]["trigger"] == {"refresh": "catalogue"}
    assert "Z" not in [each["stock_code"] for each in worker.recommendations()[0]["items"]]
    beginning = CatalogueItem("Z", on_sale_from=int(worker.clock) + 3_600)
    worker.merchandising = Merchandising(Catalogue({"Z": beginning}))
    refresh.changes.note("Z", 0, 8, ending, beginning)
    refresh.run(600)
    worker.published.messages.clear()
    # The next worker finds in the record what passed while none ran.
    worker.clock += 3_600
    successor = RefreshHarness(worker, refresh.progress, refresh_share="1")
    successor.refresher._parts = successor.refresher._parts._replace(changes=refresh.changes)
    successor.run(600)
    assert [each["customer_id"] for each in worker.recommendations()] == ["lonely"]
    assert worker.recommendations()[0]["items"][0]["stock_code"] == "Z"


def test_new_rules_refresh_after_the_delay() -> None:
    worker = shop()
    refresh = RefreshHarness(worker, refresh_delay_seconds="30")
    refresh.run(60)
    worker.scorer = ReversingScorer(version="1")  # as if the rules had turned the lists round
    refresh.rules = "1:0"
    refresh.run(25)
    assert worker.recommendations() == []
    refresh.run(30)
    assert {each["trigger"]["refresh"] for each in worker.recommendations()} == {"rules"}


def test_the_daily_refresh_renews_what_ends_before_the_next() -> None:
    worker = shop(valid_days="6")
    refresh = RefreshHarness(worker, refresh_at="03:00")
    refresh.run()
    for day, renewed in ((4, set[str]()), (5, set(CUSTOMERS))):
        worker.clock = CLOCK + day * 86_400
        # Event time goes on with the invoices of others.
        worker.process(invoice(f"new{day}", "other", f"2011-12-{9 + day}T12:30:00Z", "A"))
        worker.published.messages.clear()
        refresh.run()
        sent = {each["customer_id"]: each for each in worker.recommendations()}
        assert sent.keys() == renewed, day
        assert {each["valid_until"][:10] for each in sent.values()} == ({"2011-12-20"} if renewed else set())
        assert {json.dumps(each["trigger"]) for each in sent.values()} <= {'{"refresh": "daily"}'}


def test_the_recommendation_of_a_history_that_expires_is_withdrawn_once() -> None:
    class ExpiringStore(MemoryStore):
        def snapshots(self, customer_ids: Sequence[str]) -> list[CustomerSnapshot | None]:
            return [
                CustomerSnapshot(
                    each.history,
                    each.revision,
                    each.published,
                    each.last,
                    EXPIRY_MARGIN_S - 1 if each.history.customer_id == "c5" else EXPIRY_MARGIN_S,
                )
                if each
                else None
                for each in super().snapshots(customer_ids)
            ]

    worker = shop(ExpiringStore(load_settings({})))
    refresh = RefreshHarness(worker)
    refresh.run()
    for request in ("1", "2"):
        refresh.progress.request = request
        refresh.run()
    topic = worker.settings.topics.recommendations
    assert worker.messages(topic) == [Message(topic, b"c5", None)]
    assert worker.store.recommendation("c5") is None


def test_a_worker_that_could_not_load_the_model_takes_nothing_back() -> None:
    worker = shop()
    refresh = RefreshHarness(worker)
    refresh.run()
    worker.scorer = ReversingScorer(version="1")
    worker.scorer.name = "fallback"
    refresh.refresher._parts = refresh.refresher._parts._replace(model=lambda: "fallback/1")
    refresh.progress.request = "2011-12-09T13:00:00Z"
    refresh.run()
    assert worker.recommendations() == []


def test_a_customer_that_cannot_be_read_stops_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    class DamagedStore(MemoryStore):
        def snapshots(self, customer_ids: Sequence[str]) -> list[CustomerSnapshot | None]:
            if "c5" in customer_ids:
                raise CustomerRefused("the keys of c5 hold something else")
            return super().snapshots(customer_ids)

    worker = shop(DamagedStore(load_settings({})))
    refresh = RefreshHarness(worker)
    refresh.run()
    worker.scorer = ReversingScorer(version="2")
    refresh.run()
    assert {each["customer_id"] for each in worker.recommendations()} == set(CUSTOMERS) - {"c5"}
    assert worker.metric("refreshed_customers_total", outcome="failed") == 1
    assert "Customer c5 is not refreshed" in caplog.text


def test_an_outage_is_waited_for_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    class AwayStore(MemoryStore):
        away = False

        def snapshots(self, customer_ids: Sequence[str]) -> list[CustomerSnapshot | None]:
            if self.away:
                raise StoreUnavailable("Redis does not answer")
            return super().snapshots(customer_ids)

    store = AwayStore(load_settings({}))
    worker = shop(store)
    refresh = RefreshHarness(worker)
    refresh.run()
    store.away, worker.scorer = True, ReversingScorer(version="2")
    refresh.run(120)
    assert worker.recommendations() == []
    assert caplog.text.count("The refresh of recommendations waits") == 1
    store.away = False
    refresh.run()
    assert len(worker.recommendations()) == len(CUSTOMERS)


def test_a_portion_is_followed_by_a_pause_as_the_share_of_time_asks() -> None:
    worker = shop()
    refresh = RefreshHarness(worker, refresh_share="0.25")
    refresh.run()
    refresh.progress.request = "1"
    seconds = iter(range(1, 1_000))
    refresh.refresher._monotonic = lambda: float(next(seconds))
    before = next(seconds)
    pause = refresh.step()
    assert pause == 3.0 * (next(seconds) - before - 2), "three quarters of the time are for invoices"
    assert worker.metric("refresh_seconds_total") * 3 == pause


def test_nothing_is_refreshed_while_the_clock_is_wrong() -> None:
    worker = shop()
    refresh = RefreshHarness(worker)
    refresh.run()
    worker.scorer = ReversingScorer(version="2")
    refresh.clock_problem = "it differs"
    refresh.run()
    assert worker.recommendations() == []


def test_the_first_worker_of_a_shop_refreshes_nobody_unless_asked() -> None:
    worker = shop()
    worker.scorer = ReversingScorer(version="2")
    refresh = RefreshHarness(worker)
    refresh.run()
    assert worker.recommendations() == []
    asked = RefreshHarness(worker)
    asked.progress.request = "2011-12-09T13:00:00Z"
    asked.run()
    assert len(worker.recommendations()) == len(CUSTOMERS)
    assert isinstance(worker.store.recommendation("c0"), Recommendation)
    assert worker.clock == CLOCK
