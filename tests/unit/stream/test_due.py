"""Due customers of a store in memory."""

import msgspec
import pytest

from state.domain.due import DueCustomer
from state.events.dates import DAY, to_iso
from state.events.invoice import Invoice, Line
from state.settings import Settings
from state.store.memory import MemoryStore
from stream.errors import PublisherUnavailable
from stream.pipeline.due import DueList, DueQuery, due_customers, portions, publish_due
from stream.pipeline.memory_publisher import MemoryPublisher
from tests.unit.stream.harness import CountingScorer
from training.serving.baselines.scorer import BaselineScorer
from training.serving.scorer import Scorer

NOW = 1_323_388_800  # 2011-12-09


def purchase(number: int, customer: str, days_ago: float, price: float = 1.0, **attributes: str) -> Invoice:
    line = Line("22613", 1000, price, "NAPKINS", None)
    return Invoice(str(number), customer, NOW - int(days_ago * DAY), (line,), attributes=attributes)


def store_of(*invoices: Invoice) -> MemoryStore:
    store = MemoryStore(Settings())
    store.apply(invoices, clock_ms=1)
    return store


def regular(first: int, customer: str, gap: float, last: float, number: int = 8, **rest: object) -> list[Invoice]:
    """Purchases every ``gap`` days, the newest ``last`` days ago."""
    return [purchase(first + each, customer, last + gap * each, **rest) for each in range(number)]  # type: ignore[arg-type]


def due(store: MemoryStore, query: DueQuery, scorer: Scorer | None = None) -> DueList:
    return due_customers(store, scorer or BaselineScorer("count_demand", "1"), query, top_k=3)


def ids(found: DueList) -> list[str]:
    return [each.customer_id for each in found.customers]


def test_a_customer_whose_gap_is_over_is_more_likely_than_one_who_just_bought() -> None:
    store = store_of(*regular(0, "early", 30, 2), *regular(100, "due", 30, 27))
    found = list(due(store, DueQuery(NOW, 7)).customers)
    assert [each.customer_id for each in found] == ["due", "early"]
    assert found[0].chance > 2 * found[1].chance


def test_the_chance_is_given_that_no_purchase_came_since() -> None:
    """A week after the last purchase the chance of the next week is (F(14) - F(7)) / (1 - F(7))."""
    gaps = [5, 9, 12, 30, 5, 12, 9, 30, 12]
    invoices = [purchase(number, "c", sum(gaps[:number])) for number in range(len(gaps) + 1)]
    store, scorer = store_of(*invoices), BaselineScorer("count_demand", "1")
    within_7, within_14, *_ = scorer.return_time.curve(next(store.histories()).purchase_dates, NOW)
    (found,) = due(store, DueQuery(NOW + 7 * DAY, 7), scorer).customers
    assert found.chance == pytest.approx((within_14 - within_7) / (1.0 - within_7), abs=1e-4)
    assert found.days_since == 7


def test_customers_are_ordered_by_expected_value_and_only_the_first_are_listed() -> None:
    store = store_of(*regular(0, "cheap", 10, 9, price=1.0), *regular(50, "dear", 10, 9, price=100.0))
    assert ids(due(store, DueQuery(NOW, 7))) == ["dear", "cheap"]
    found = due(store, DueQuery(NOW, 7, limit=1))
    assert (ids(found), found.eligible, found.read) == (["dear"], 2, 2)


def test_the_expected_value_is_the_chance_times_the_basket_value() -> None:
    (found,) = due(store_of(*regular(0, "c", 10, 9, price=12.5)), DueQuery(NOW, 7)).customers
    assert found.basket_value == 12.5
    assert found.expected_value == pytest.approx(found.chance * 12.5, abs=0.01)


def test_equal_customers_are_ordered_by_id_however_they_were_stored() -> None:
    one = store_of(purchase(1, "b", 3), purchase(2, "a", 3), purchase(3, "c", 3))
    other = store_of(purchase(3, "c", 3), purchase(1, "b", 3), purchase(2, "a", 3))
    assert ids(due(one, DueQuery(NOW, 7))) == ids(due(other, DueQuery(NOW, 7))) == ["a", "b", "c"]


def test_a_segment_takes_customers_with_one_of_the_values_of_every_attribute() -> None:
    store = store_of(
        purchase(1, "a", 3, country="France", tier="gold"),
        purchase(2, "b", 3, country="Spain", tier="gold"),
        purchase(3, "c", 3, country="France", tier="base"),
        purchase(4, "d", 3),
    )
    segment = {"country": frozenset({"France", "Spain"}), "tier": frozenset({"gold"})}
    assert ids(due(store, DueQuery(NOW, 7, segment=segment))) == ["a", "b"]


def test_the_mean_of_the_shop_is_that_of_all_customers_whatever_the_segment() -> None:
    store = store_of(purchase(1, "a", 3, 10.0, country="France"), purchase(2, "b", 3, 90.0))
    (found,) = due(store, DueQuery(NOW, 7, segment={"country": frozenset({"France"})})).customers
    assert found.basket_value == pytest.approx((10.0 + 2 * 50.0) / 3, abs=0.01)


def test_customers_below_the_lowest_chance_are_left_out() -> None:
    store = store_of(*regular(0, "due", 7, 6), purchase(99, "gone", 200))
    assert ids(due(store, DueQuery(NOW, 7, min_chance=0.3))) == ["due"]


def test_a_customer_who_only_returned_items_is_not_due() -> None:
    back = Invoice("1", "c", NOW, (Line("22613", -1000, 1.0, None, None),))
    assert due(store_of(back), DueQuery(NOW, 7)).eligible == 0


def test_a_customer_who_buys_while_the_list_is_made_is_left_out() -> None:
    store = store_of(purchase(1, "a", 30), purchase(2, "b", 30))
    found = due(store, DueQuery(NOW, 7))
    store.apply([purchase(3, "a", 0)], clock_ms=2)
    assert (ids(found), found.left_out) == (["b"], ["a"])


def test_a_due_customer_has_the_basket_with_reasons_and_the_dates() -> None:
    (found,) = due(store_of(*regular(0, "c", 10, 9.5, country="France")), DueQuery(NOW, 14)).customers
    assert (found.at, found.valid_until) == (to_iso(NOW), to_iso(NOW + 14 * DAY))
    assert (found.days_since, found.purchases, found.within_days) == (9, 8, 14)
    assert found.items[0].stock_code == "22613"
    assert (found.items[0].reason.code, found.items[0].reason.evidence["times"]) == ("bought_regularly", 8)
    assert found.due_date is not None
    assert found.at[:10] <= found.due_date <= found.valid_until[:10]
    assert found.attributes == {"country": "France"}


def test_a_scorer_without_return_curves_is_asked_for_predictions() -> None:
    (found,) = due(store_of(purchase(1, "a", 3)), DueQuery(NOW, 30), CountingScorer()).customers
    assert found.chance == 0.5


def test_nobody_is_due_in_an_empty_store() -> None:
    found = due(store_of(), DueQuery(NOW, 7))
    assert (ids(found), found.read, found.eligible) == ([], 0, 0)


class Sent:
    """Remembers in memory."""

    def __init__(self) -> None:
        self.days: dict[str, set[str]] = {}

    def unsent(self, day: str, customer_ids: list[str]) -> list[str]:
        return [each for each in customer_ids if each not in self.days.get(day, set())]

    def record(self, day: str, customer_ids: list[str]) -> None:
        self.days.setdefault(day, set()).update(customer_ids)


def listed(store: MemoryStore, at: int = NOW, days: int = 7) -> list[DueCustomer]:
    return list(due(store, DueQuery(at, days)).customers)


def test_a_customer_is_published_once_a_day_and_window() -> None:
    store = store_of(purchase(1, "a", 3), purchase(2, "b", 3))
    publisher, sent = MemoryPublisher(), Sent()
    assert publish_due(listed(store)[:1], publisher, "due", sent, "/nextbasket") == 1  # type: ignore[arg-type]
    assert publish_due(listed(store, NOW + 3600), publisher, "due", sent, "/nextbasket") == 1  # type: ignore[arg-type]
    assert publish_due(listed(store, NOW + DAY), publisher, "due", sent, "/nextbasket") == 2  # type: ignore[arg-type]
    assert publish_due(listed(store, NOW, 14), publisher, "due", sent, "/nextbasket") == 2  # type: ignore[arg-type]
    assert [message.key for message in publisher.messages] == [b"a", b"b", b"a", b"b", b"a", b"b"]
    first = msgspec.json.decode(publisher.messages[0].value or b"", type=DueCustomer)
    assert first == listed(store)[0]
    assert dict(publisher.messages[0].headers) == {
        "ce_specversion": b"1.0",
        "ce_id": first.due_id.encode(),
        "ce_source": b"/nextbasket",
        "ce_type": b"io.github.nextbasket.due-customer.v1",
        "ce_time": first.at.encode(),
        "ce_subject": b"a",
        "content-type": b"application/json",
    }


def test_customers_that_kafka_did_not_confirm_are_published_again_with_the_same_ids() -> None:
    class Unavailable(MemoryPublisher):
        def publish(self, messages: object) -> None:
            raise PublisherUnavailable("no broker", [])

    customers, sent = listed(store_of(purchase(1, "a", 3))), Sent()
    with pytest.raises(PublisherUnavailable):
        publish_due(customers, Unavailable(), "due", sent, "/nextbasket")  # type: ignore[arg-type]
    again = listed(store_of(purchase(1, "a", 3)))
    assert publish_due(again, MemoryPublisher(), "due", sent, "/nextbasket") == 1  # type: ignore[arg-type]
    assert customers[0].due_id == again[0].due_id


def test_portions_have_every_customer_once() -> None:
    customers = listed(store_of(*(purchase(number, str(number), 3) for number in range(5))))
    parts = list(portions(iter(customers), 2))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert [one for part in parts for one in part] == customers
