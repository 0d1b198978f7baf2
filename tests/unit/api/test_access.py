"""Keys, scopes, rates, and what is refused before a route sees it."""

import gzip
from pathlib import Path
from typing import Any

import httpx
import pytest

from state.errors import SettingsError
from state.settings import load_settings
from stream.api.access import check_binding, parse_rate
from stream.api.app import create_app
from stream.api.gate import REPEATABLE
from stream.api.key_reload import KeyReload
from stream.api.keys import Scope, hash_of, load_keys, new_key
from stream.api.problems import Problem
from tests.unit.api.shop import Shop

LIST = "/v1/recommendations"


def keys_of(value: str) -> list[str]:
    return load_keys(load_settings({"NEXTBASKET_API_KEYS": value})).names


async def get(shop: Shop, path: str = LIST, host: str = "localhost", **headers: str) -> httpx.Response:
    async with shop.client(host) as client:
        return await client.get(path, headers=headers)


def test_a_key_is_stored_as_its_hash_and_found_by_it() -> None:
    made = new_key("storefront", [Scope.INGEST, Scope.READ])
    assert made.key not in made.line
    assert made.line == f"storefront read,ingest {hash_of(made.key)}"
    keys = load_keys(load_settings({"NEXTBASKET_API_KEYS": made.line}))
    caller = keys.find(made.key)
    assert caller is not None
    assert [scope for scope in Scope if caller.may(scope)] == [Scope.READ, Scope.INGEST]
    assert keys.find(made.key[:-1]) is None
    assert new_key("storefront", [Scope.READ]).key != made.key


def test_admin_may_everything() -> None:
    made = new_key("boss", [Scope.ADMIN])
    caller = load_keys(load_settings({"NEXTBASKET_API_KEYS": made.line})).find(made.key)
    assert caller is not None
    assert all(caller.may(scope) for scope in Scope)


def test_keys_come_from_a_file_and_the_environment(tmp_path: Path) -> None:
    one, two = new_key("one", [Scope.READ]), new_key("two", [Scope.ADMIN])
    file = tmp_path / "keys"
    file.write_text(f"# storefronts\n\n{one.line}  # the shop\n")
    variables = {"NEXTBASKET_API_KEYS_FILE": str(file), "NEXTBASKET_API_KEYS": two.line}
    assert load_keys(load_settings(variables)).names == ["one", "two"]
    with pytest.raises(SettingsError, match="Two API keys have the name one"):
        load_keys(load_settings(variables | {"NEXTBASKET_API_KEYS": new_key("one", [Scope.READ]).line}))
    with pytest.raises(SettingsError, match="NEXTBASKET_API_KEYS_FILE cannot be read"):
        load_keys(load_settings({"NEXTBASKET_API_KEYS_FILE": str(tmp_path / "none")}))


@pytest.mark.parametrize(
    "entry", ["nb_secret", "storefront read nb_secret", f"storefront reed {'0' * 64}", f"../x read {'0' * 64}"]
)
def test_an_entry_that_is_none_is_refused_without_being_shown(entry: str) -> None:
    with pytest.raises(SettingsError, match="nextbasket api-keys new makes one") as caught:
        keys_of(entry)
    assert entry not in str(caught.value)
    assert "nb_secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a#b", "x" * 65])
def test_a_name_that_would_break_the_file_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        new_key(name, [Scope.READ])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_without_keys_this_machine_is_served(host: str) -> None:
    check_binding(host, load_keys(load_settings({})))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "shop.example", ""])
def test_without_keys_no_other_address_is_served(host: str) -> None:
    with pytest.raises(SettingsError, match="There is no API key"):
        check_binding(host, load_keys(load_settings({})))
    check_binding(host, load_keys(load_settings({"NEXTBASKET_API_KEYS": new_key("a", [Scope.READ]).line})))


async def test_with_keys_a_request_needs_one_that_has_the_scope() -> None:
    reader, sender = new_key("reader", [Scope.READ]), new_key("sender", [Scope.INGEST])
    shop = Shop(api_keys=f"{reader.line};{sender.line}")
    assert (await get(shop, Authorization=f"Bearer {reader.key}")).status_code == 200
    assert (await get(shop, **{"X-API-Key": reader.key})).status_code == 200
    none, wrong = await get(shop), await get(shop, Authorization="Bearer nb_wrong")
    assert (none.status_code, wrong.status_code) == (401, 401)
    assert none.headers["www-authenticate"] == "Bearer"
    lacking = await get(shop, Authorization=f"Bearer {sender.key}")
    assert lacking.status_code == 403
    assert "lacks the scope read" in lacking.json()["detail"]
    assert (await get(shop, "/livez")).status_code == 200


async def test_a_key_beyond_its_rate_waits_and_others_do_not() -> None:
    one, two = new_key("one", [Scope.READ]), new_key("two", [Scope.READ])
    shop = Shop(api_keys=f"{one.line};{two.line}", api_rate="3/hour")
    async with shop.client() as client:
        answers = [await client.get(LIST, headers={"X-API-Key": one.key}) for _ in range(4)]
        other = await client.get(LIST, headers={"X-API-Key": two.key})
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    assert other.status_code == 200


def test_a_rate_that_is_none_is_refused() -> None:
    assert parse_rate("none") is None
    with pytest.raises(SettingsError, match="NEXTBASKET_API_RATE"):
        parse_rate("fast")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.2:8080"])
async def test_without_keys_a_name_that_was_pointed_at_this_machine_is_refused(host: str) -> None:
    answer = await get(Shop(), host=host)
    assert answer.status_code == 421
    assert (await get(Shop(api_keys=new_key("a", [Scope.READ]).line), host=host)).status_code == 401


@pytest.mark.parametrize(("name", "value", "status"), [("Host", "[bad", 421), ("Origin", "http://[", 403)])
async def test_an_address_that_cannot_be_read_is_a_foreign_one(name: str, value: str, status: int) -> None:
    async with Shop().client() as client:
        answer = await client.put("/v1/rules", json={"rules": []}, headers={name: value})
    assert answer.status_code == status


async def test_without_keys_a_page_of_another_origin_may_not_write() -> None:
    shop = Shop(api_origins="https://shop.example")
    async with shop.client("localhost:8080") as client:

        async def post(origin: str) -> int:
            headers = {"Content-Type": "application/json", "Origin": origin}
            return (await client.post("/v1/invoices", content=b"[]", headers=headers)).status_code

        statuses = [
            await post(origin)
            for origin in ("https://evil.example", "null", "http://localhost:8080", "https://shop.example")
        ]
    assert statuses == [403, 403, 400, 400]


async def test_only_the_origins_of_the_setting_may_read_from_a_browser() -> None:
    shop = Shop(api_origins="https://shop.example")
    allowed = await get(shop, Origin="https://shop.example")
    other = await get(shop, Origin="https://evil.example")
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in (await get(Shop(), Origin="https://shop.example")).headers


async def test_every_answer_has_security_headers_errors_too() -> None:
    for path in (LIST, "/livez", "/nowhere", "/v1/recommendations?limit=0"):
        headers = (await get(Shop(), path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "cache-control" in headers
        assert "server" not in headers


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/nowhere", 404, "/openapi.json"),
        ("/v1/recommendations?limit=0", 400, "limit: input should be greater than or equal to 1"),
        ("/v1/recommendations?limit=101", 400, "limit"),
        ("/v1/recommendations?lmit=5", 400, "lmit: there is no such parameter"),
        ("/v1/recommendations?slot=both", 400, "slot"),
        ("/v1/recommendations?attribute=x", 400, "attribute"),
        ("/v1/customers//recommendations", 400, "customer_id"),
    ],
)
async def test_an_error_is_a_problem_with_what_to_do(path: str, status: int, detail: str) -> None:
    answer = await get(Shop(), path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("https://")
    assert detail in problem["detail"]


async def test_a_method_that_a_path_lacks_is_a_problem() -> None:
    async with Shop().client() as client:
        answer = await client.delete(LIST)
        asked = await client.options("/v1/items/TEA")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert answer.json()["detail"] == "The path takes GET, HEAD, OPTIONS, POST."
    assert (asked.status_code, asked.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PUT")


async def test_head_is_get_without_the_body() -> None:
    async with Shop().client() as client:
        for path in (LIST, "/livez", "/v1/customers/anna/recommendations", "/nowhere", "/v1/items/TEA"):
            got, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert head.headers["content-length"] == str(len(got.content))
            assert head.headers.get("etag") == got.headers.get("etag")


async def test_a_preflight_of_an_origin_of_the_setting_is_answered_and_of_another_is_not() -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "Authorization, Content-Type"}
    path = "/v1/customers/anna/recommendations"
    async with Shop(api_origins="https://shop.example", api_keys=new_key("a", [Scope.READ]).line).client() as client:
        allowed = await client.options(path, headers={"Origin": "https://shop.example", **asks})
        other = await client.options(path, headers={"Origin": "https://evil.example", **asks})
    assert allowed.status_code == 200  # before there is a key: a browser sends none
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert (other.status_code, "access-control-allow-origin" in other.headers) == (400, False)


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/customers/%FF/recommendations", "not UTF-8"),
        (f"{LIST}?category=%C3%28", "not UTF-8"),
        (f"{LIST}?limit=5&limit=7", "limit: the parameter is there more than once."),
        (f"{LIST}?limit=5&lim%69t=5", "limit: the parameter is there more than once."),
    ],
)
async def test_an_address_that_could_be_read_in_two_ways_is_refused(path: str, detail: str) -> None:
    answer = await get(Shop(), path)
    assert (answer.status_code, detail in answer.json()["detail"]) == (400, True)


def test_the_parameters_that_may_be_repeated_are_the_lists_of_the_document() -> None:
    paths = create_app(Shop().services()).openapi()["paths"]
    lists = {
        parameter["name"].encode()
        for path in paths.values()
        for operation in path.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and parameter["schema"].get("type") == "array"
    }
    assert lists == REPEATABLE


async def test_a_compressed_body_is_refused_before_it_is_read() -> None:
    async with Shop().client() as client:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        answer = await client.post("/v1/invoices", content=gzip.compress(b"[" * 1_000_000), headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert "Content-Encoding" in answer.json()["detail"]


async def test_a_batch_counts_as_its_customers() -> None:
    shop = Shop(api_rate="5/hour")
    async with shop.client() as client:

        async def ask(*customers: str) -> Any:
            return await client.post("/v1/recommendations/batch", json={"customers": customers})

        answers = [await ask("anna", "ben", "anna"), await ask("anna", "ben", "cleo"), await ask("anna")]
        other = Shop(api_rate="5/hour")
    async with other.client() as client:
        never = await ask(*"abcdefg")
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert never.status_code == 400
    assert "It counts as 6 more requests, and address 127.0.0.1 may send 5 per 1 hour" in never.json()["detail"]


async def test_keys_of_the_file_come_and_go_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = new_key("first", [Scope.READ]), new_key("second", [Scope.READ])
    file = tmp_path / "keys"
    file.write_text(first.line)
    shop = Shop(api_keys_file=str(file))
    services = shop.services()
    access = services.access
    reload = KeyReload(shop.settings, access)
    kept = access.identify(first.key, "here")

    def use(text: str) -> list[str]:
        file.write_text(text)
        reload.check()
        return access.keys.names

    assert use(f"{first.line}\n{second.line}\n") == ["first", "second"]
    assert access.keys.has(kept)
    assert use("nonsense") == ["first", "second"]
    assert use("# nobody") == ["first", "second"]
    assert "has no key any more" in caplog.text
    assert use(second.line) == ["second"]
    assert not access.keys.has(kept)
    with pytest.raises(Problem, match="The key is not known"):
        access.identify(first.key, "here")


def test_a_file_of_keys_that_others_can_write_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys"
    file.write_text(new_key("first", [Scope.READ]).line)
    file.chmod(0o600)
    load_keys(load_settings({"NEXTBASKET_API_KEYS_FILE": str(file)}))
    assert caplog.records == []
    file.chmod(0o666)
    load_keys(load_settings({"NEXTBASKET_API_KEYS_FILE": str(file)}))
    assert "Other users can write to" in caplog.text


async def test_an_address_that_is_too_long_is_refused() -> None:
    answer = await get(Shop(), f"{LIST}?category={'x' * 40_000}")
    assert answer.status_code == 414


async def test_requests_are_counted_by_route_and_status() -> None:
    shop = Shop()
    async with shop.client() as client:
        for path in ("/v1/customers/anna/recommendations", "/v1/customers/x%2Fy/recommendations", "/nowhere"):
            await client.get(path)

    def count(route: str, status: str) -> float | None:
        labels = {"route": route, "status": status}
        return shop.metrics.registry.get_sample_value("nextbasket_http_requests_total", labels)

    assert count("/v1/customers/{customer_id:id}/recommendations", "200") == 2
    assert count("none", "404") == 1
