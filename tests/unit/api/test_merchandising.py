"""Rules and the catalogue: over HTTP, and in every list."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from state.domain.catalogue import Catalogue
from state.domain.rules import CompiledRules, Merchandising
from state.events.catalogue import CatalogueDecoder, CatalogueItem
from state.events.dates import DAY
from state.events.rules import decode_rules
from state.settings import Settings
from state.store.memory import MemoryStore
from stream.api.lookups import ShopState, item_view
from stream.messages import Message
from stream.pipeline.memory_publisher import MemoryPublisher
from tests.unit.api.shop import Shop
from tests.unit.api.test_cart import PairingScorer
from training.features.item_table import ItemTable

PATH = "/v1/customers/anna/recommendations"


class FollowedPublisher(MemoryPublisher):
    """Lets the shop obey what is published, as a follower of the topics would."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self.shop = shop

    def publish(self, messages: Sequence[Message]) -> None:
        super().publish(messages)
        for message in messages:
            now = self.shop.merchandising
            catalogue, rules = now.catalogue, now.rules
            if message.topic == self.shop.settings.topics.rules:
                rules = CompiledRules(decode_rules(message.value))
            elif message.topic == self.shop.settings.topics.items:
                assert message.key is not None
                item = None if message.value is None else CatalogueDecoder(self.shop.settings).decode(message.value)
                catalogue = catalogue.with_changes({message.key.decode(): item})
            self.shop.merchandising = Merchandising(catalogue, rules, position=now.position + 1)


def shop_with_topics() -> Shop:
    shop = Shop()
    shop.publisher = FollowedPublisher(shop)
    return shop


def codes(answer: Any) -> list[str]:
    return [item["stock_code"] for item in answer["items"]]


def rules(*documents: dict[str, Any]) -> CompiledRules:
    return CompiledRules(decode_rules(json.dumps({"version": 1, "rules": documents}).encode()))


async def test_an_item_out_of_stock_is_left_out_of_every_list_and_named_in_the_answer() -> None:
    shop = shop_with_topics()
    async with shop.client() as client:
        first = await client.get(PATH)
        assert codes(first.json())[0] == "TEA"
        assert first.json()["rules"] is None
        assert (await client.put("/v1/items/TEA", json={"stock": 0, "name": "Tea"})).status_code == 202
        for method, path, body in (
            ("GET", PATH, None),
            ("GET", "/v1/recommendations", None),
            ("POST", PATH, {"cart": ["CUP"]}),
            ("POST", "/v1/recommendations", {"country": "France"}),
        ):
            answer = (await client.request(method, path, json=body)).json()
            assert "TEA" not in codes(answer)
            acted = {(each["kind"], each["rule"]): each["stock_codes"] for each in answer["rules"]["acted"]}
            assert acted[("catalogue", "out_of_stock")] == ["TEA"]
        changed = await client.get(PATH, headers={"If-None-Match": first.headers["etag"]})
        assert changed.status_code == 200
        assert (await client.delete("/v1/items/TEA")).status_code == 202
        assert codes((await client.get(PATH)).json())[0] == "TEA"


async def test_a_list_that_a_rule_shortens_is_filled_up() -> None:
    shop = Shop()
    shop.merchandising = Merchandising(
        rules=rules({"kind": "exclude", "name": "no tea", "items": {"stock_codes": ["TEA"]}})
    )
    async with shop.client() as client:
        answer = (await client.get(f"{PATH}?limit=3")).json()
    assert (len(answer["items"]), "TEA" in codes(answer)) == (3, False)


async def test_a_boost_and_a_cart_work_together_and_probabilities_stay() -> None:
    shop = Shop()
    shop.scorer = PairingScorer()
    async with shop.client() as client:
        plain = (await client.get(PATH)).json()
        shop.merchandising = Merchandising(
            rules=rules({"kind": "boost", "name": "cups", "factor": 1.01, "items": {"stock_codes": ["CUP"]}})
        )
        answer = (await client.post(PATH, json={"cart": ["LAMP"]})).json()
    assert codes(answer)[0] == "MAT"
    model = {item["stock_code"]: item["probability"] for item in plain["items"]}
    assert all(item["probability"] == model[item["stock_code"]] for item in answer["items"])


async def test_a_category_is_that_of_the_catalogue() -> None:
    shop = Shop()
    tea = CatalogueItem("TEA", category=("Drinks", "Hot"))
    shop.merchandising = Merchandising(Catalogue({"TEA": tea, "CUP": CatalogueItem("CUP", category=("Kitchen",))}))
    async with shop.client() as client:
        for category in ("Drinks", "Drinks > Hot"):
            assert codes((await client.get(PATH, params={"category": category})).json()) == ["TEA"]
        assert codes((await client.get(PATH, params={"category": "Hot"})).json()) == []


async def test_rules_are_set_checked_and_read() -> None:
    shop = shop_with_topics()
    document = {"rules": [{"kind": "cap", "name": "three", "most": 3}]}
    async with shop.client() as client:
        assert (await client.get("/v1/rules")).headers["etag"] == '"0"'
        checked = await client.post("/v1/rules/check", json=document)
        assert checked.json()["rules"] == 1
        done = await client.put("/v1/rules", json=document, headers={"If-Match": '"0"'})
        assert (done.status_code, done.headers["etag"], done.json()["version"]) == (200, '"1"', 1)
        assert (await client.get("/v1/rules")).json() == done.json()
        stale = await client.put("/v1/rules", json=document, headers={"If-Match": '"0"'})
        older = await client.put("/v1/rules", json={"version": 1, **document})
        assert (stale.status_code, older.status_code) == (412, 412)
        far = await client.put("/v1/rules", json={"version": 2**53, **document})
        assert (far.status_code, "or be left out" in far.json()["detail"]) == (400, True)
        wrong = await client.put("/v1/rules", json={"rules": [{"kind": "cap", "name": "x", "most": "3"}]})
        assert wrong.status_code == 400
        assert "most" in wrong.json()["detail"]
    assert shop.merchandising.rules.document.version == 1


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"stock": "many"}, "stock cannot be taken"),
        ({"stock_code": "OTHER"}, "key of the record"),
        ([], "no JSON object"),
    ],
)
async def test_an_invalid_item_is_400_and_nothing_is_sent(body: Any, detail: str) -> None:
    shop = Shop()
    async with shop.client() as client:
        answer = await client.put("/v1/items/TEA", json=body)
    assert answer.status_code == 400
    assert detail in answer.json()["detail"]
    assert shop.published.messages == []


async def test_an_item_shows_its_entry_in_the_catalogue_and_why_it_is_unavailable() -> None:
    shop = Shop()
    shop.merchandising = Merchandising(
        Catalogue({"TEA": CatalogueItem("TEA", stock=0), "NEW": CatalogueItem("NEW", name="New")})
    )
    async with shop.client() as client:
        tea, new = (await client.get("/v1/items/TEA")).json(), (await client.get("/v1/items/NEW")).json()
    assert (tea["catalogue"]["stock"], tea["unavailable"], tea["baskets"]) == (0, "out_of_stock", 2)
    assert (new["description"], new["price"], new["baskets"], new["unavailable"]) == ("New", None, 0, None)


@pytest.mark.parametrize(
    ("days_since", "expected"),
    [(5, "not_on_sale"), (40, None)],
    ids=["the clock decides", "the newest event decides in a replay"],
)
def test_the_clock_decides_whether_an_item_is_on_sale_as_in_lists(days_since: int, expected: str | None) -> None:
    now = 1_700_000_000
    shop = ShopState(MemoryStore(Settings()), ItemTable(()), now)
    ends = CatalogueItem("TEA", on_sale_until=now + 2 * DAY)
    view = item_view("TEA", shop, Merchandising(Catalogue({"TEA": ends})), clock=now + days_since * DAY)
    assert view.unavailable == expected


async def test_a_rule_for_a_customer_segment_holds_for_visitors_of_whom_only_attributes_are_known() -> None:
    shop = Shop()
    minors = {"attributes": {"age_group": ["under 18"]}}
    shop.merchandising = Merchandising(
        rules=rules({"kind": "exclude", "name": "x", "items": {"stock_codes": ["LAMP"]}, "customers": minors})
    )
    async with shop.client() as client:
        everybody = (await client.get("/v1/recommendations")).json()
        minor = (await client.get("/v1/recommendations", params={"attribute": "age_group:under 18"})).json()
    assert "LAMP" in codes(everybody)
    assert "LAMP" not in codes(minor)
