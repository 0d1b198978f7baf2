"""Orders to erase a customer over HTTP."""

import json

import pytest

from stream.api.keys import Scope, new_key
from tests.unit.api.shop import Shop

KEY = "k" * 32


@pytest.mark.parametrize(("path", "customer"), [("12680.0", "12680"), ("a%2Fb", "a/b"), ("anna", "anna")])
async def test_the_order_goes_to_the_workers_under_the_canonical_id(path: str, customer: str) -> None:
    shop = Shop(erasure_key=KEY)
    async with shop.client() as client:
        assert (await client.delete(f"/v1/customers/{path}")).status_code == 202
    (message,) = shop.published.messages
    assert message.topic == shop.settings.topics.invoices
    assert message.key == customer.encode()
    assert json.loads(message.value or b"") == {"type": "customer.erased", "customer_id": customer, "version": 1}


async def test_without_an_erasure_key_nothing_is_ordered() -> None:
    shop = Shop()
    async with shop.client() as client:
        answer = await client.delete("/v1/customers/anna")
    assert answer.status_code == 409
    assert "NEXTBASKET_ERASURE_KEY_FILE" in answer.json()["detail"]
    assert shop.published.messages == []


async def test_an_anonymous_id_is_nobody_to_erase() -> None:
    shop = Shop(erasure_key=KEY, anonymous_ids="0")
    async with shop.client() as client:
        assert (await client.delete("/v1/customers/0")).status_code == 400
    assert shop.published.messages == []


async def test_the_scope_admin_is_needed() -> None:
    lacking, admin = new_key("shop", [Scope.READ, Scope.INGEST, Scope.MERCHANDISE]), new_key("dpo", [Scope.ADMIN])
    shop = Shop(erasure_key=KEY, api_keys=f"{lacking.line};{admin.line}")
    async with shop.client() as client:
        for key, status in ((lacking.key, 403), (admin.key, 202)):
            answer = await client.delete("/v1/customers/anna", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == status
    assert len(shop.published.messages) == 1
