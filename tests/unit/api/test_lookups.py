"""Items, customers, and lists of several customers."""

from typing import Any

from state.domain.catalogue import Catalogue
from state.domain.recommendation import ModelVersion, NextPurchase, Recommendation, Trigger
from state.domain.rules import Merchandising
from state.errors import CustomerRefused
from state.events.catalogue import CatalogueItem
from state.settings import Settings
from state.store.memory import MemoryStore
from state.store.protocol import CustomerState
from tests.unit.api.shop import Shop
from tests.unit.api.test_cart import PairingScorer
from tests.unit.stream.harness import invoice


async def get(shop: Shop, path: str, status: int = 200) -> Any:
    async with shop.client() as client:
        answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_an_item_has_price_dates_demand_and_links() -> None:
    item = await get(Shop(), "/v1/items/LAMP")
    assert (item["stock_code"], item["description"], item["price"]) == ("LAMP", "ITEM LAMP", 1.0)
    assert (item["first_sold"], item["last_sold"]) == ("2011-12-08T10:00:00Z", "2011-12-09T12:00:00Z")
    assert item["baskets"] == 2
    assert 1.8 < item["demand"]["7"] < 2.0
    assert item["links"] == {"self": "/v1/items/LAMP", "similar": "/v1/items/LAMP/similar"}


async def test_what_is_unknown_is_404_with_a_sentence() -> None:
    for path in ("/v1/items/PEN", "/v1/items/PEN/similar", "/v1/customers/nobody"):
        assert (
            "is known here" in (await get(Shop(), path, 404))["detail"]
            or "was sold here" in (await get(Shop(), path, 404))["detail"]
        )


async def test_a_code_may_hold_a_slash() -> None:
    shop = Shop()
    shop.apply(invoice("9", "dora", "2011-12-08T10:00:00Z", "A/B"))
    assert (await get(shop, "/v1/items/A%2FB"))["links"]["self"] == "/v1/items/A%2FB"


async def test_similar_items_are_those_that_the_model_knows() -> None:
    shop = Shop()
    assert "knows no similar items" in (await get(shop, "/v1/items/LAMP/similar", 404))["detail"]
    shop.scorer = PairingScorer()
    similar = await get(shop, "/v1/items/LAMP/similar")
    assert similar["method"] == "bought_together"
    assert similar["items"] == [{"stock_code": "MAT", "description": "ITEM MAT", "score": 2.0}]
    assert (await get(shop, "/v1/items/MAT/similar"))["items"] == []
    shop.merchandising = Merchandising(Catalogue({"MAT": CatalogueItem("MAT", stock=0.0)}))
    assert (await get(shop, "/v1/items/LAMP/similar"))["items"] == []  # out of stock


async def test_a_customer_has_history_attributes_and_what_was_sent() -> None:
    shop = Shop()
    returned = invoice("5", "anna", "2011-12-06T10:00:00Z", "CUP", quantity=-1, country="France")
    shop.apply(returned)
    customer = await get(shop, "/v1/customers/anna")
    assert customer["baskets"] == [
        {"invoice_no": "1", "invoice_date": "2011-12-01T10:00:00Z", "items": {"TEA": 1.0}},
        {"invoice_no": "2", "invoice_date": "2011-12-05T10:00:00Z", "items": {"TEA": 1.0}},
    ]
    assert (customer["attributes"], customer["sent"]) == ({"country": "France"}, None)
    sent = Recommendation(
        rec_id="r",
        customer_id="anna",
        revision=customer["revision"],
        generated_at="",
        valid_until="",
        trigger=Trigger(),
        model=ModelVersion("m", "1"),
        next_purchase=NextPurchase({}, None, None, None),
        items=[],
    )
    shop.store.confirm([sent])
    assert (await get(shop, "/v1/customers/anna"))["sent"]["rec_id"] == "r"


class TornStore(MemoryStore):
    """The data of ben cannot be read."""

    def customers(self, customer_ids: Any) -> list[CustomerState | None]:
        if "ben" in customer_ids:
            raise CustomerRefused("The keys of ben hold something that this program did not write")
        return super().customers(customer_ids)


async def test_several_customers_are_ranked_in_one_call_of_the_model() -> None:
    shop = Shop(TornStore(Settings()))
    async with shop.client() as client:
        answer = await client.post(
            "/v1/recommendations/batch", json={"customers": ["cleo", "nobody", "ben", "anna"], "limit": 1}
        )
    body = answer.json()
    assert [each["customer_id"] for each in body["recommendations"]] == ["cleo", "nobody", "anna"]
    assert [each["fallback"] for each in body["recommendations"]] == [None, "unknown_customer", None]
    assert [len(each["items"]) for each in body["recommendations"]] == [1, 1, 1]
    assert [each["customer_id"] for each in body["problems"]] == ["ben"]
    assert len(shop.scorer.calls) <= 2  # the first request may be taken before the others wait


async def test_a_customer_whose_data_cannot_be_read_is_500_and_others_are_not() -> None:
    shop = Shop(TornStore(Settings()))
    problem = await get(shop, "/v1/customers/ben/recommendations", 500)
    assert problem["type"].endswith("#customer-refused")
    await get(shop, "/v1/customers/anna/recommendations")
