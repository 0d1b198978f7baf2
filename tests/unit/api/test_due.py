"""Who is due, over HTTP."""

from typing import Any

import pytest

from state.domain.rules import Merchandising
from tests.unit.api.shop import Shop
from tests.unit.stream.harness import invoice


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
