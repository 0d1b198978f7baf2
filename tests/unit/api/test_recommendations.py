"""Lists at the visit, over a store in memory."""

from typing import Any

import pytest

from state.domain.catalogue import Catalogue
from state.domain.rules import CompiledRules, Merchandising
from state.errors import StoreUnavailable
from state.events.catalogue import CatalogueItem
from state.events.rules import Pin, Rules
from state.settings import Settings
from state.store.memory import MemoryStore
from state.store.protocol import CustomerState, ItemChanges
from stream.api.ranking import Ranker
from stream.api.visits import VisitQuery
from tests.unit.api.shop import Shop
from tests.unit.stream.harness import CountingScorer, invoice

PATH = "/v1/customers/anna/recommendations"


async def get(shop: Shop, path: str, **headers: str) -> Any:
    async with shop.client() as client:
        answer = await client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def codes(answer: Any) -> list[str]:
    return [item["stock_code"] for item in answer["items"]]


async def test_a_customer_gets_a_ranked_list_with_reasons_dates_model_and_links() -> None:
    answer = await get(Shop(), PATH)
    assert codes(answer) == ["TEA", "CUP", "LAMP", "MAT"]
    assert answer["items"][0]["reason"] == {
        "code": "bought_before",
        "evidence": {"times": 2, "last": "2011-12-05T10:00:00Z"},
    }
    assert (answer["customer_id"], answer["fallback"]) == ("anna", None)
    assert answer["model"] == {"name": "counting", "version": "1"}
    assert answer["at"] == "2011-12-09T12:00:00Z"  # of the newest event
    assert answer["generated_at"] == "2011-12-09T12:50:00Z"
    assert answer["valid_until"] == "2012-01-08T12:00:00Z"
    assert answer["next_purchase"]["within_days"]["30"] == 0.5
    assert answer["links"]["customer"] == "/v1/customers/anna"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=2", ["TEA", "CUP"]),
        ("slot=discover", ["LAMP", "MAT"]),
        ("slot=replenish", ["TEA", "CUP"]),
        ("slot=replenish&limit=1&exclude=TEA", ["CUP"]),
        ("exclude=TEA&exclude=LAMP&limit=2", ["CUP", "MAT"]),
        ("category=light", ["LAMP"]),
        ("category=nothing", []),
    ],
)
async def test_a_list_is_filtered_and_filled_up(query: str, expected: list[str]) -> None:
    shop = Shop()
    lamp = invoice("9", "dora", "2011-12-08T10:00:00Z", "LAMP")
    lamp["lines"][0]["attributes"] = {"category": "light"}
    shop.apply(lamp)
    assert codes(await get(shop, f"{PATH}?{query}")) == expected


async def test_an_unknown_customer_and_an_anonymous_visitor_get_what_is_in_demand() -> None:
    shop = Shop()
    unknown = await get(shop, "/v1/customers/nobody/recommendations")
    anonymous = await get(shop, "/v1/recommendations")
    assert (unknown["fallback"], anonymous["fallback"]) == ("unknown_customer", "anonymous")
    assert (unknown["customer_id"], anonymous["customer_id"]) == ("nobody", None)
    assert codes(unknown) == codes(anonymous)
    assert set(codes(unknown)) == {"TEA", "CUP", "LAMP", "MAT"}
    assert {item["reason"]["code"] for item in unknown["items"]} == {"in_demand"}
    assert (unknown["next_purchase"], unknown["revision"]) == (None, 0)


async def test_a_customer_who_only_returned_something_gets_what_is_in_demand() -> None:
    shop = Shop()
    shop.apply(invoice("9", "gone", "2011-12-08T10:00:00Z", "TEA", quantity=-1))
    assert (await get(shop, "/v1/customers/gone/recommendations"))["fallback"] == "no_purchases"


async def test_an_id_may_hold_any_printable_character() -> None:
    shop = Shop()
    shop.apply(invoice("9", "a/b c?{}%", "2011-12-08T10:00:00Z", "TEA"))
    answer = await get(shop, "/v1/customers/a%2Fb%20c%3F%7B%7D%25/recommendations")
    assert (answer["customer_id"], answer["fallback"]) == ("a/b c?{}%", None)
    assert answer["links"]["self"] == "/v1/customers/a%2Fb%20c%3F%7B%7D%25/recommendations"


async def test_an_invoice_changes_the_next_list() -> None:
    shop = Shop()
    async with shop.client() as client:
        before = (await client.get(PATH)).json()
        shop.apply(*[invoice(str(100 + number), "anna", "2011-12-09T12:10:00Z", "MAT") for number in range(3)])
        after = (await client.get(PATH)).json()
    assert codes(before)[0] == "TEA"
    assert codes(after)[0] == "MAT"
    assert after["rec_id"] != before["rec_id"]


async def test_the_time_of_the_visit_can_be_chosen() -> None:
    shop = Shop()
    assert (await get(shop, f"{PATH}?at=2011-12-20T08:00:00Z"))["at"] == "2011-12-20T08:00:00Z"
    async with shop.client() as client:
        assert (await client.get(f"{PATH}?at=soon")).json()["detail"].startswith("at: 'soon' is no date with a time")


async def test_an_unchanged_list_is_304_and_ranks_nothing() -> None:
    shop = Shop()
    async with shop.client() as client:
        first = await client.get(PATH)
        calls = len(shop.scorer.calls)
        again = await client.get(PATH, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert len(shop.scorer.calls) == calls == 1


async def test_a_post_is_answered_whatever_the_entity_tag() -> None:
    """A condition on a method other than GET and HEAD would be a failed one, and no 304 (RFC 9110, 13.1.2)."""
    async with Shop().client() as client:
        first = await client.post(PATH, json={"cart": ["TEA"]})
        again = await client.post(PATH, json={"cart": ["TEA"]}, headers={"If-None-Match": first.headers["etag"]})
        other = await client.post(PATH, json={"cart": ["CUP"]})
        head = await client.head(PATH, headers={"If-None-Match": (await client.get(PATH)).headers["etag"]})
    assert (first.status_code, again.status_code, head.status_code) == (200, 200, 304)
    assert other.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize("change", ["invoice", "model", "rules", "catalogue", "age", "query"])
async def test_whatever_the_list_depends_on_ends_the_entity_tag(change: str) -> None:
    shop = Shop()
    path = PATH
    async with shop.client() as client:
        first = await client.get(path)
        if change == "invoice":
            shop.apply(invoice("9", "anna", "2011-12-09T12:10:00Z", "MAT"))
        elif change == "model":
            shop.scorer = CountingScorer("2")
        elif change == "rules":
            rules = Rules(version=1, rules=(Pin(name="first", stock_codes=("MAT",)),))
            shop.merchandising = Merchandising(rules=CompiledRules(rules))
        elif change == "catalogue":
            shop.merchandising = Merchandising(Catalogue({"TEA": CatalogueItem("TEA", stock=0.0)}), position=1)
        elif change == "age":
            shop.clock += shop.settings.api_max_age_seconds
        else:
            path += "?limit=3"
        again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 200
    assert again.headers["etag"] != first.headers["etag"]


def test_waiting_requests_are_ranked_together() -> None:
    shop = Shop()
    queries = ["anna", "ben", "cleo", "nobody"]
    ranker = Ranker(
        settings=shop.settings,
        open_store=lambda: shop.store,
        scorer=lambda: shop.scorer,
        fallback=CountingScorer("fallback"),
        metrics=shop.metrics,
    )
    answers = ranker.answer([VisitQuery(customer) for customer in queries])
    assert shop.scorer.calls == [["anna", "ben", "cleo", "nobody"]]
    assert [answer.recommendation.customer_id for answer in answers if not isinstance(answer, Exception)] == queries


class DownStore(MemoryStore):
    """Does not answer while ``down``."""

    down = False

    def items(self, since: int = 0) -> ItemChanges:
        if self.down:
            raise StoreUnavailable("Redis does not answer: connection refused")
        return super().items(since)

    def customers(self, customer_ids: Any) -> list[CustomerState | None]:
        if self.down:
            raise StoreUnavailable("Redis does not answer: connection refused")
        return super().customers(customer_ids)


async def test_without_redis_the_answer_is_503_and_later_200_again() -> None:
    store = DownStore(Settings())
    shop = Shop(store)
    async with shop.client() as client:
        tag = (await client.get(PATH)).headers["etag"]
        store.down = True
        for headers in ({}, {"If-None-Match": tag}):
            away = await client.get(PATH, headers=headers)
            assert (away.status_code, away.headers["retry-after"]) == (503, "2")
            assert away.headers["content-type"] == "application/problem+json"
            assert "Redis does not answer" in away.json()["detail"]
        store.down = False
        assert (await client.get(PATH)).status_code == 200


async def test_a_shop_without_sales_has_an_empty_list() -> None:
    answer = await get(
        Shop(MemoryStore(Settings())),
        "/v1/customers/nobody/recommendations?exclude=TEA&exclude=CUP&exclude=LAMP&exclude=MAT",
    )
    assert answer["items"] == []
