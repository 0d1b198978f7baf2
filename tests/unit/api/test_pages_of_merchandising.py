"""The pages that change what is recommended: a draft of rules and an item, previewed before they are saved."""

import json
import re
from collections.abc import Iterator
from itertools import islice

import httpx
import pytest

from state.domain.catalogue import Catalogue
from state.domain.history import CustomerHistory
from state.domain.rules import CompiledRules, Merchandising
from state.errors import CustomerRefused
from state.events.catalogue import CatalogueItem
from state.events.rules import decode_rules
from state.store.memory import MemoryStore
from stream.api.keys import Scope, new_key
from stream.api.pages.preview import ListChange, compare_lists, sample_customers, summarise
from stream.api.ranking import Workbench
from tests.unit.api.shop import INVOICES, Shop
from tests.unit.api.test_merchandising import shop_with_topics
from tests.unit.api.test_pages import HOSTILE, ORIGIN, text, token
from tests.unit.stream.harness import ProcessorHarness, invoice
from training.features.item_table import ItemTable

NO_TEA = {"kind": "exclude", "name": "no tea", "items": {"stock_codes": ["TEA"]}}


def draft(page: httpx.Response) -> str:
    found = re.search(r"<textarea[^>]*>(.*?)</textarea>", page.text, re.DOTALL)
    assert found is not None
    return (
        found[1]
        .replace("&#34;", '"')
        .replace("&gt;", ">")
        .replace("&lt;", "<")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
    )


def base(page: httpx.Response) -> str:
    found = re.search(r'name="base" value="([^"]*)"', page.text)
    assert found is not None
    return found[1].replace("&#34;", '"')


async def step(client: httpx.AsyncClient, page: httpx.Response, action: str, **fields: str) -> httpx.Response:
    """Press a button of the form for rules."""
    data = {"token": token(page), "base": base(page), "draft": draft(page), "action": action, **fields}
    return await client.post("/rules", data=data, headers=ORIGIN, follow_redirects=True)


async def test_a_rule_is_added_previewed_saved_switched_off_and_removed() -> None:
    shop = shop_with_topics()
    async with shop.client() as client:
        page = await client.get("/rules")
        assert "No rules" in text(page)
        page = await step(client, page, "add", kind="exclude", stock_codes="TEA", name="no tea")
        words = text(page)
        assert "would change. Nothing is saved yet." in words
        assert "TEA (" in words
        assert json.loads(draft(page)) == {"rules": [NO_TEA]}
        assert shop.published.messages == []
        page = await step(client, page, "save")
        assert "Version 1 of the rules is in force." in text(page)
        assert shop.merchandising.rules.document.rules[0].name == "no tea"
        page = await step(client, page, "toggle:0")
        page = await step(client, page, "save")
        assert not shop.merchandising.rules.document.rules[0].enabled
        page = await step(client, page, "remove:0")
        await step(client, page, "save")
    assert shop.merchandising.rules.document.rules == ()
    assert shop.merchandising.rules.document.version == 3


async def test_a_rule_that_reserves_positions_for_new_items_is_added_and_previewed() -> None:
    async with Shop(top_k="2").client() as client:
        page = await client.get("/rules")
        refused = await step(client, page, "add", kind="promote", value="0.5")
        assert "or slot be discover or replenish" in text(refused)
        page = await step(client, page, "add", kind="promote", value="0.5", slot="discover", name="half new")
        words = text(page)
    assert json.loads(draft(page)) == {
        "rules": [{"kind": "promote", "name": "half new", "share": 0.5, "slot": "discover"}]
    }
    assert "half new: no item" not in words  # it is about all items
    assert re.search(r"[123] of 3 lists would change", words)


async def test_a_draft_of_rules_that_are_no_longer_in_force_is_not_saved() -> None:
    shop = shop_with_topics()
    async with shop.client() as client:
        old = await client.get("/rules")
        await client.put("/v1/rules", json={"rules": [NO_TEA]})
        page = await step(client, old, "save", draft='{"rules": []}')
    assert (page.status_code, draft(page)) == (412, '{"rules": []}')
    assert "Version 1 is in force" in text(page)
    assert len(shop.merchandising.rules.document.rules) == 1


@pytest.mark.parametrize("written", ["", "{", '{"rules": [{"kind": "magic", "name": "x"}]}', HOSTILE, "[]"])
async def test_an_invalid_draft_stays_in_the_form_with_what_is_wrong(written: str) -> None:
    async with Shop().client() as client:
        page = await step(client, await client.get("/rules"), "save", draft=written)
    assert (page.status_code, draft(page)) == (400, written)
    assert 'role="alert"' in page.text
    assert "<script>alert" not in page.text


async def test_a_value_that_is_none_is_refused_with_the_field() -> None:
    async with Shop().client() as client:
        page = await step(client, await client.get("/rules"), "add", kind="cap", value="many")
    assert page.status_code == 400
    assert "rules[0].most cannot be taken" in text(page)


async def test_the_preview_names_customers_who_are_unknown_and_rules_without_items() -> None:
    async with Shop().client() as client:
        rules = json.dumps({"rules": [{"kind": "exclude", "name": "none", "items": {"categories": ["Tools"]}}]})
        page = await step(client, await client.get("/rules"), "preview", draft=rules, customers="anna, nobody")
    assert "0 of 3 lists would change" in text(page)
    assert "Not known here: nobody." in text(page)
    assert "none: no item of the catalogue matches it." in text(page)


async def test_without_the_scope_rules_are_previewed_and_not_saved() -> None:
    key = new_key("watcher", [Scope.READ])
    shop = Shop(api_keys=key.line)
    async with shop.client() as client:
        await client.post("/sign-in", data={"key": key.key}, headers=ORIGIN)
        page = await client.get("/rules")
        assert 'value="save"' not in page.text
        assert (await step(client, page, "preview")).status_code == 200
        assert (await step(client, page, "save")).status_code == 403


async def test_an_item_shows_its_demand_and_who_is_due_for_it() -> None:
    shop = Shop()
    async with shop.client() as client:
        page = await client.get("/items?code=TEA")
        assert "Baskets ever 2" in text(page)
        assert "Nobody's recommendation has it." in text(page)
    ProcessorHarness(store=shop.store, due_index=shop.due_index).process(
        invoice("7", "dora", "2011-12-06T10:00:00Z", "TEA")
    )
    async with shop.client() as client:
        page = await client.get("/items?code=TEA")
        assert 'href="/customers?id=dora"' in page.text
        assert "1 recommendation last sent had it" in text(page)
        shop.merchandising = Merchandising(unknown_stock="exclude", position=1)
        page = await client.get("/items?code=TEA")
        assert "Nobody, because it is not recommended now" in text(page)
        unknown = await client.get("/items", params={"code": HOSTILE})
    assert (unknown.status_code, "<script>alert" in unknown.text) == (404, False)


async def test_an_item_is_previewed_saved_found_and_deleted() -> None:
    shop = shop_with_topics()
    async with shop.client() as client:
        page = await client.get("/items?code=TEA")
        form = {"token": token(page), "code": "TEA", "name": "Tea", "category": "Drinks > Hot", "stock": "0"}
        seen = await client.post("/items", data={**form, "action": "preview"}, headers=ORIGIN)
        assert "would change. Nothing is saved yet." in text(seen)
        assert 'name="stock" value="0"' in seen.text
        assert len(shop.merchandising.catalogue) == 0
        saved = await client.post("/items", data={**form, "action": "save"}, headers=ORIGIN, follow_redirects=True)
        assert "TEA is saved." in text(saved)
        assert "Not recommended now: out of stock." in text(saved)
        assert shop.merchandising.catalogue["TEA"].category == ("Drinks", "Hot")
        found = text(await client.get("/items?find=drinks"))
        assert "Drinks > Hot" in found
        assert "No item of the catalogue has" in text(await client.get("/items?find=xyz"))
        wrong = await client.post("/items", data={**form, "stock": "many", "action": "save"}, headers=ORIGIN)
        assert (wrong.status_code, "stock cannot be taken" in text(wrong)) == (400, True)
        assert 'name="stock" value="many"' in wrong.text
        asked = await client.post("/items", data={**form, "action": "preview-delete"}, headers=ORIGIN)
        assert "This is what deleting the entry does." in text(asked)
        assert "would change. Nothing is saved yet." in text(asked)
        assert 'name="stock" value="0"' in asked.text  # the form still has the entry
        assert len(shop.merchandising.catalogue) == 1
        gone = await client.post("/items", data={**form, "action": "delete"}, headers=ORIGIN, follow_redirects=True)
    assert "TEA is deleted from the catalogue." in text(gone)
    assert len(shop.merchandising.catalogue) == 0


async def test_the_form_of_an_item_leaves_attributes_as_they_are() -> None:
    shop = shop_with_topics()
    shop.merchandising = Merchandising(Catalogue({"TEA": CatalogueItem("TEA", attributes={"brand": "Acme"})}))
    async with shop.client() as client:
        page = await client.get("/items?code=TEA")
        await client.post("/items", data={"token": token(page), "code": "TEA", "action": "save"}, headers=ORIGIN)
    assert dict(shop.merchandising.catalogue["TEA"].attributes) == {"brand": "Acme"}


def test_lists_are_compared_under_the_same_ranking() -> None:
    shop = Shop(top_k="2")
    items = ItemTable(shop.store.items().states.values())
    bench = Workbench(shop.store, items, shop.store.now() or 0, int(shop.clock), shop.scorer, None, shop.settings)
    rules = decode_rules(json.dumps({"rules": [NO_TEA]}).encode())
    anna, ben = compare_lists(bench, ["anna", "nobody", "ben"], Merchandising(rules=CompiledRules(rules)))
    assert anna.before[0] == "TEA"
    assert (anna.removed, len(anna.after), len(anna.added)) == (["TEA"], 2, 1)
    assert ben.customer_id == "ben"
    assert shop.scorer.calls == [["anna", "ben"]]


def test_customers_are_sampled_up_to_one_whose_history_cannot_be_read() -> None:
    shop = Shop()

    class Damaged(MemoryStore):
        def histories(self) -> Iterator[CustomerHistory]:
            yield from islice(super().histories(), self.readable)
            raise CustomerRefused("the history of ben is damaged")

        readable = 1

    store = Damaged(shop.settings)
    shop.store = store
    shop.apply(*INVOICES)
    assert len(sample_customers(store)) == 1
    store.readable = 0
    with pytest.raises(CustomerRefused, match="damaged"):
        sample_customers(store)


def test_a_summary_counts_lists_and_orders_them_by_change() -> None:
    lists = [
        ListChange("a", ["1", "2"], ["1", "2"]),
        ListChange("b", ["1", "2"], ["2", "1"]),
        ListChange("c", ["1", "2"], ["3"]),
    ]
    found = summarise(lists, 2, [])
    assert [each.customer_id for each in found.changes] == ["c", "b"]
    assert (dict(found.removed), dict(found.added), found.short) == ({"1": 1, "2": 1}, {"3": 1}, (0, 1))
