"""Who is due, over HTTP."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from state.domain.due import DueCustomer
from state.domain.rules import CompiledRules, Merchandising
from state.events.rules import decode_rules
from state.store.protocol import ItemChanges
from stream.api import due as due_module
from stream.api import due_lists
from stream.api.due_lists import REUSE_S
from stream.pipeline.due import DueQuery, with_baskets
from tests.unit.api.shop import Shop
from tests.unit.stream.harness import ProcessorHarness, invoice


async def get(shop: Shop, query: str = "", status: int = 200) -> Any:
    async with shop.client() as client:
        answer = await client.get(f"/v1/due{query}")
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_the_customers_come_by_expected_value_with_their_baskets() -> None:
    shop = Shop()
    shop.apply(invoice("9", "rich", "2011-12-02T10:00:00Z", "TEA", quantity=500))
    found = await get(shop)
    assert (found["at"], found["within_days"], found["matching"]) == ("2011-12-09T12:00:00Z", 7, 4)
    assert found["customers"][0]["customer_id"] == "rich"
    values = [each["expected_value"] for each in found["customers"]]
    assert values == sorted(values, reverse=True)
    assert found["customers"][0]["items"][0]["stock_code"] == "TEA"


async def test_a_limit_a_window_and_a_later_time() -> None:
    found = await get(Shop(), "?limit=1&within=30&at=2011-12-20T00:00:00Z")
    (customer,) = found["customers"]
    assert (found["matching"], found["within_days"], found["at"]) == (3, 30, "2011-12-20T00:00:00Z")
    assert customer["valid_until"] == "2012-01-19T00:00:00Z"


async def test_a_segment_takes_one_of_the_values_of_a_key() -> None:
    shop = Shop()
    for number, country in enumerate(("France", "Spain", "Italy")):
        shop.apply(invoice(f"s{number}", f"from{country}", "2011-12-02T10:00:00Z", "TEA", country=country))
    found = await get(shop, "?segment=country:France&segment=country:Spain")
    assert {each["customer_id"] for each in found["customers"]} == {"fromFrance", "fromSpain"}
    assert (await get(shop, "?segment=country:France&segment=tier:gold"))["customers"] == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("?within=91", "within"),
        ("?limit=101", "limit"),
        ("?min_chance=2", "min_chance"),
        ("?segment=France", "segment"),
        ("?at=monday", "is no date with a time"),
        ("?at=2011-12-01T00:00:00Z", "the histories hold events until 2011-12-09T12:00:00Z"),
        ("?days=7", "there is no such parameter"),
    ],
)
async def test_what_cannot_be_asked_is_400_with_the_reason(query: str, detail: str) -> None:
    assert detail in (await get(Shop(), query, 400))["detail"]


async def test_nothing_forbidden_is_in_a_basket() -> None:
    shop = Shop()
    shop.merchandising = Merchandising(unknown_stock="exclude")
    found = await get(shop)
    assert found["customers"]
    assert all(each["items"] == [] for each in found["customers"])


async def test_an_empty_shop_has_nobody() -> None:
    shop = Shop()
    shop.store = type(shop.store)(shop.settings)  # type: ignore[call-arg]  # a MemoryStore
    assert (await get(shop))["customers"] == []


async def test_pages_follow_each_other() -> None:
    shop = Shop()
    whole = await get(shop, "?limit=4")
    pages = [await get(shop, f"?limit=2&offset={offset}") for offset in (0, 2, 4)]
    assert [each for page in pages for each in page["customers"]] == whole["customers"]
    assert {page["matching"] for page in pages} == {whole["matching"]}
    assert "offset" in (await get(shop, "?offset=9901", 400))["detail"]


async def test_a_list_is_304_until_a_customer_or_the_rules_change() -> None:
    shop = Shop()
    async with shop.client() as client:
        first = await client.get("/v1/due")
        known = {"If-None-Match": first.headers["ETag"]}
        again = await client.get("/v1/due", headers=known)
        other = await client.get("/v1/due?within=14", headers=known)
        shop.merchandising = Merchandising(unknown_stock="exclude", position=1)
        by_rules = await client.get("/v1/due", headers=known)
    assert (first.status_code, again.status_code, other.status_code, by_rules.status_code) == (200, 304, 200, 200)
    assert again.content == b""
    shop.merchandising = Merchandising()
    shop.apply(invoice("9", "ben", "2011-12-09T12:00:00Z", "TEA"))
    async with shop.client() as client:
        assert (await client.get("/v1/due", headers=known)).status_code == 200


async def test_baskets_that_were_just_ranked_are_not_ranked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked: list[int | None] = []

    def rank(store: Any, scorer: Any, query: DueQuery, *rest: Any) -> Iterator[DueCustomer]:
        ranked.append(query.limit)
        return with_baskets(store, scorer, query, *rest)

    monkeypatch.setattr(due_lists, "with_baskets", rank)
    shop = Shop()
    recommended(shop)
    for path, limits in (("/v1/due", [20, 1, 20]), ("/v1/items/TEA/due", [40, 2, 40])):
        ranked.clear()
        async with shop.client() as client:
            first, again, other = [await client.get(each) for each in (path, path, f"{path}?limit=1")]
            shop.due_clock += REUSE_S
            late = await client.get(path)
        assert ranked == limits
        assert first.json() == again.json() == late.json()
        assert len(other.json()["customers"]) == 1


async def test_of_the_items_only_what_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    read: list[int] = []
    items = shop.store.items

    def spy(since: int = 0) -> ItemChanges:
        found = items(since)
        read.append(len(found.states))
        return found

    monkeypatch.setattr(shop.store, "items", spy)
    async with shop.client() as client:
        await client.get("/v1/due")
        shop.apply(invoice("9", "ben", "2011-12-09T12:30:00Z", "TEA"))
        shop.due_clock += REUSE_S
        later = (await client.get("/v1/due")).json()
        await client.get("/v1/items/TEA/due")
    assert read[0] == 4
    assert read[1:] == [1, 0]
    assert later == await get(shop)  # as from all items


async def test_while_the_order_is_made_it_is_503_with_the_time_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_module, "WAIT_S", 0.05)
    shop = Shop()
    ready = threading.Event()

    def wait(_: object) -> bool:
        ready.wait(10)
        return False

    shop.scorer.fails = wait
    async with shop.client() as client:
        early = await client.get("/v1/due")
        other = await client.get("/v1/items/TEA")
        ready.set()
        for _ in range(100):
            late = await client.get("/v1/due")
            if late.status_code == 200:
                break
            await asyncio.sleep(0.05)
    assert (early.status_code, early.headers["Retry-After"], other.status_code) == (503, "10", 200)
    assert "Ask again" in early.json()["detail"]
    assert late.json()["customers"]


async def item_due(shop: Shop, code: str, query: str = "") -> Any:
    async with shop.client() as client:
        answer = await client.get(f"/v1/items/{code}/due{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def recommended(shop: Shop) -> None:
    """Let a worker recommend to two customers of tea, of whom one buys it always."""
    harness = ProcessorHarness(store=shop.store, due_index=shop.due_index)
    for number in range(4):
        harness.process(invoice(f"t{number}", "often", f"2011-11-{10 + 7 * number // 2:02d}T10:00:00Z", "TEA"))
    harness.process(invoice("t9", "seldom", "2011-11-12T10:00:00Z", "CUP", "MAT"))


async def test_who_is_due_for_an_item_are_those_whose_list_has_it_by_the_chance_of_both() -> None:
    shop = Shop()
    recommended(shop)
    found = await item_due(shop, "TEA")
    assert (found["stock_code"], found["within_days"], found["unavailable"]) == ("TEA", 7, None)
    assert found["matching"] >= len(found["customers"]) >= 2
    assert found["customers"][0]["customer_id"] == "often"
    for each in found["customers"]:
        assert each["expected"] == pytest.approx(each["chance"] * each["probability"], abs=1e-6)
    values = [each["expected"] for each in found["customers"]]
    assert values == sorted(values, reverse=True)
    (best,) = (await item_due(shop, "TEA", "?limit=1"))["customers"]
    assert best == found["customers"][0]
    assert (await item_due(shop, "NONE"))["customers"] == []


async def test_nobody_is_due_for_an_item_that_the_rules_forbid_now() -> None:
    shop = Shop()
    recommended(shop)
    rules = {"version": 1, "rules": [{"kind": "exclude", "name": "no tea", "items": {"stock_codes": ["TEA"]}}]}
    shop.merchandising = Merchandising(rules=CompiledRules(decode_rules(json.dumps(rules).encode())))
    found = await item_due(shop, "TEA")
    assert (found["matching"] > 0, found["customers"]) == (True, [])
    shop.merchandising = Merchandising(unknown_stock="exclude")
    found = await item_due(shop, "TEA")
    assert (found["customers"], found["unavailable"]) == ([], "unknown_stock")
