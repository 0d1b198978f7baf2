"""Customers who were merged into another one, and erased ones, over HTTP."""

import json
from typing import Any

import httpx
import pytest

from state.domain.identities import Erasure, Identities, Pseudonyms
from state.errors import StoreRefused, StoreUnavailable
from state.store.identities import MemoryIdentities
from state.store.memory import MemoryStore
from tests.unit.api.shop import Shop
from tests.unit.stream.harness import invoice

KEY = "k" * 32
PSEUDONYMS = Pseudonyms(KEY)


def merged_shop() -> Shop:
    """A shop where ``till`` was merged into ``card``, and ``card`` into ``anna``."""
    identities = MemoryIdentities(PSEUDONYMS)
    assert identities.alias("till", "card")
    assert identities.alias("card", "anna")
    return Shop(identities=identities)


async def ask(shop: Shop, method: str, path: str, **more: Any) -> httpx.Response:
    async with shop.client() as client:
        answer: httpx.Response = await client.request(method, path, **more)
    assert answer.status_code in (200, 202, 304), answer.text
    return answer


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/customers/{}", None),
        ("GET", "/v1/customers/{}/recommendations?limit=2", None),
        ("POST", "/v1/customers/{}/recommendations", {"cart": ["CUP"]}),
        ("POST", "/v1/recommendations/batch", {"customers": ["{}", "ben"]}),
    ],
)
async def test_a_merged_customer_is_answered_with_the_one_who_has_the_purchases(
    method: str, path: str, body: dict[str, Any] | None
) -> None:
    shop = merged_shop()

    async def about(customer: str) -> Any:
        content = {} if body is None else {"json": json.loads(json.dumps(body).replace("{}", customer))}
        return (await ask(shop, method, path.format(customer), **content)).json()

    assert await about("till") == await about("anna")


async def test_the_entity_tag_of_a_merged_customer_changes_with_the_history_of_the_other() -> None:
    shop = merged_shop()
    path = "/v1/customers/till/recommendations"
    tag = (await ask(shop, "GET", path)).headers["etag"]
    assert (await ask(shop, "GET", path, headers={"If-None-Match": tag})).status_code == 304
    shop.apply(invoice("9", "anna", "2011-12-09T12:10:00Z", "MAT"))
    assert (await ask(shop, "GET", path, headers={"If-None-Match": tag})).status_code == 200


async def test_a_history_that_is_not_moved_yet_is_answered_as_it_is() -> None:
    shop = merged_shop()
    shop.apply(invoice("9", "till", "2011-12-09T12:10:00Z", "MAT"))
    assert (await ask(shop, "GET", "/v1/customers/till")).json()["customer_id"] == "till"


def erased_shop() -> Shop:
    """A shop that erased ``eve``, and ``rosa``, who came back in June 2011."""
    identities = MemoryIdentities(PSEUDONYMS)
    erasures = {PSEUDONYMS.of("eve"): Erasure(5), PSEUDONYMS.of("rosa"): Erasure(5, 1_306_886_400)}
    identities.restore(Identities({"eves-card": "eve"}, erasures))
    return Shop(identities=identities)


async def test_invoices_of_erased_customers_are_counted_and_not_sent() -> None:
    shop = erased_shop()
    now, before = "2011-12-09T12:50:00Z", "2011-05-01T12:50:00Z"
    kept = [invoice("1", "ben", now, "A"), invoice("2", None, now, "A"), invoice("3", "rosa", now, "A")]
    gone = [invoice("4", "eve", now, "A"), invoice("5", "eves-card", now, "A"), invoice("6", "rosa", before, "A")]
    answer = await ask(shop, "POST", "/v1/invoices", json=[*gone, *kept])
    assert answer.json() == {"accepted": 3, "anonymous": 1, "excluded_lines": {}, "erased": 3}
    assert [json.loads(message.value or b"") for message in shop.published.messages] == kept
    alone = await ask(shop, "POST", "/v1/invoices", json=gone[0])
    assert alone.json() == {"accepted": 0, "anonymous": 0, "excluded_lines": {}, "erased": 1}
    assert len(shop.published.messages) == 3
    assert shop.metric("erased_events_total") == 4


async def test_an_invalid_invoice_of_a_list_refuses_it_also_where_another_is_of_an_erased_customer() -> None:
    shop = erased_shop()
    good = invoice("4", "eve", "2011-12-09T12:50:00Z", "A")
    async with shop.client() as client:
        answer = await client.post("/v1/invoices", json=[good, {**good, "lines": []}])
    assert answer.status_code == 400
    assert "1 of 2 events" in answer.json()["detail"]


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreRefused("another key")])
async def test_while_the_list_cannot_be_read_invoices_go_to_the_workers_who_pass_them_over(error: Exception) -> None:
    class Failing(MemoryIdentities):
        calls = 0

        def lookup(self, customer_ids: Any) -> Identities | None:
            self.calls += 1
            raise error

    identities = Failing(PSEUDONYMS)
    shop = Shop(identities=identities)
    body = invoice("4", "eve", "2011-12-09T12:50:00Z", "A")
    async with shop.client() as client:
        for _ in range(3):
            answer = await client.post("/v1/invoices", json=body)
            assert answer.json() == {"accepted": 1, "anonymous": 0, "excluded_lines": {}}
        assert identities.calls == 1  # no request waits for it again at once
        shop.clock += 10
        await client.post("/v1/invoices", json=body)
    assert identities.calls == 2
    assert len(shop.published.messages) == 4


def test_a_store_follows_chains_of_merges() -> None:
    shop = merged_shop()
    assert isinstance(shop.store, MemoryStore)
    assert shop.store.current_ids(["till", "anna", "nobody", "card"]) == ["anna", "anna", "nobody", "anna"]
