"""The page: what it shows, who may see it, and that forms come from it alone."""

import re
from datetime import UTC, datetime
from html import unescape
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from state.domain.catalogue import Catalogue
from state.domain.rules import Merchandising
from state.events.catalogue import CatalogueItem
from stream.api.app import create_app
from stream.api.key_reload import KeyReload
from stream.api.keys import Caller, Scope, new_key
from stream.api.pages.rendering import number
from stream.api.pages.sessions import COOKIE, LIFETIME_S, MAX_SESSIONS, Session, Sessions
from stream.api.pages.sign_in import local_page
from tests.unit.api.shop import Shop
from tests.unit.stream.harness import invoice
from training.registry import Registry

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}../%00"
ORIGIN = {"Origin": "http://localhost"}
CALLER = Caller("operator", frozenset(Scope))
PAGES = (
    "/",
    "/customers",
    "/customers?id=anna",
    "/items",
    "/items?code=TEA",
    "/rules",
    "/models",
    "/health",
    "/sign-in",
)


def token(page: httpx.Response) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


def text(page: httpx.Response) -> str:
    """The words of a page without its tags."""
    words = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page.text)))
    return re.sub(r" ([,.:])", r"\1", words)


def request_with(session: Session) -> Request:
    headers = [(b"host", b"localhost:8080"), (b"cookie", f"{COOKIE}_8080={session.id}".encode())]
    return Request({"type": "http", "path": "/", "headers": headers, "client": ("127.0.0.1", 1)})


def registry(folder: Path, *versions: str) -> Registry:
    """A registry with versions of ascending ndcg@10; the first is the champion."""
    made = Registry(str(folder / "registry"))
    (folder / "bundle").mkdir()
    (folder / "bundle" / "weights").write_bytes(b"w")
    for day, name in enumerate(versions, 1):
        version = made.publish(
            folder / "bundle",
            name=name,
            data_from=datetime(2010, 12, 1, tzinfo=UTC),
            data_until=datetime(2011, 12, day, tzinfo=UTC),
            metrics={name: {"ndcg@10": 0.1 + day / 10}, "count_demand": {"ndcg@10": 0.15}},
            created=datetime(2011, 12, day, tzinfo=UTC),
        )
        if day == 1:
            made.promote(version, at=datetime(2011, 12, 1, tzinfo=UTC))
    return made


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_loads_nothing_from_elsewhere_and_runs_nothing_inline(path: str) -> None:
    async with Shop().client() as client:
        page = await client.get(path)
        assert page.status_code == 200
        assert f"nextbasket {version('nextbasket')} · OpenAPI document" in text(page)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert not re.search(r"(?:src|href|action)=\"(?!/|#)", page.text)
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", page.text)
        for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
            assert (await client.get(name)).status_code == 200


async def test_a_customer_has_a_timeline_a_next_basket_its_date_and_reasons() -> None:
    async with Shop().client() as client:
        page = text(await client.get("/customers?id=anna"))
    assert "Customer anna" in page
    assert "bought 2 times, last on 2011-12-05" in page
    assert page.index("2011-12-05 10:00 invoice 2") < page.index("2011-12-01 10:00 invoice 1")
    assert "Next purchase: 10% within 7 days" in page


async def test_who_is_due_is_listed_with_chance_date_and_basket() -> None:
    async with Shop().client() as client:
        page = text(await client.get("/customers?within=7"))
        assert "customers from 2011-12-09" in page
        assert "anna" in page
        assert "TEA" in page
        assert (await client.get("/customers?within=0")).status_code == 400


async def test_an_unknown_customer_is_an_answer_with_the_form() -> None:
    async with Shop().client() as client:
        page = await client.get("/customers?id=nobody")
    assert page.status_code == 404
    assert "No customer 'nobody' is known here" in text(page)
    assert 'name="id" value="nobody"' in page.text


async def test_why_not_names_the_cause() -> None:
    shop = Shop()
    shop.merchandising = Merchandising(Catalogue({"TEA": CatalogueItem("TEA", stock=0)}))
    async with shop.client() as client:
        forbidden = text(await client.get("/customers?id=anna&why_not=TEA"))
        unknown = text(await client.get("/customers?id=anna&why_not=NONE"))
    assert "TEA is not recommended because of the catalogue (out of stock)" in forbidden
    assert "NONE is unknown here" in unknown


async def test_what_users_typed_is_escaped() -> None:
    shop = Shop()
    event = invoice("5" + HOSTILE, HOSTILE, "2011-12-09T12:30:00Z", "CODE" + HOSTILE)
    event["country"] = HOSTILE
    event["lines"][0]["description"] = HOSTILE
    shop.apply(event)
    async with shop.client() as client:
        found = await client.get("/customers", params={"id": HOSTILE, "why_not": HOSTILE})
        absent = await client.get("/customers", params={"id": HOSTILE + "x"})
        sign_in = await client.get("/sign-in", params={"next": "/customers?id=" + HOSTILE})
    assert (found.status_code, absent.status_code) == (200, 404)
    assert f"Customer {HOSTILE}" in unescape(found.text)
    for page in (found, absent, sign_in):
        assert "<script>alert" not in page.text
        assert not re.search(r'="[^"]*<script', page.text)
        assert "49" not in re.sub(r'token" value="[^"]+"', "", page.text)


async def test_versions_are_compared_promoted_and_rolled_back(tmp_path: Path) -> None:
    shop = Shop()
    shop.registry = registry(tmp_path, "basket_lstm", "two_tower")
    first, second = (each.version for each in shop.registry.versions())
    async with shop.client() as client:
        page = await client.get("/models")
        assert "0.3000 0.1500 count_demand" in text(page)
        done = await client.post(
            "/models/promote", data={"token": token(page), "version": second}, headers=ORIGIN, follow_redirects=True
        )
        assert f"{second} is promoted" in text(done)
        assert shop.registry.current() == second
        assert f"{second} is promoted" not in text(await client.get("/models"))  # shown once
        done = await client.post("/models/rollback", data={"token": token(page)}, headers=ORIGIN, follow_redirects=True)
        assert f"Rolled back: {first}" in text(done)
        unknown = await client.post("/models/promote", data={"token": token(page), "version": "x"}, headers=ORIGIN)
        again = await client.post("/models/rollback", data={"token": token(page)}, headers=ORIGIN)
    assert (unknown.status_code, again.status_code) == (400, 400)
    assert "no version 'x'" in text(unknown)
    assert shop.registry.current() == first


@pytest.mark.parametrize(
    ("headers", "has_token", "status"),
    [
        ({}, True, 403),
        ({"Origin": "https://evil.example"}, True, 403),
        ({"Origin": "null"}, True, 403),
        ({"Origin": "http://localhost:81"}, True, 403),
        (ORIGIN, False, 403),
        (ORIGIN, True, 303),
    ],
)
async def test_a_form_is_taken_from_this_page_alone(
    headers: dict[str, str], has_token: bool, status: int, tmp_path: Path
) -> None:
    shop = Shop()
    shop.registry = registry(tmp_path, "basket_lstm", "two_tower")
    before, version = (each.version for each in shop.registry.versions())
    async with shop.client() as client:
        sent = token(await client.get("/models")) if has_token else "x"
        answer = await client.post("/models/promote", data={"token": sent, "version": version}, headers=headers)
    assert answer.status_code == status
    assert shop.registry.current() == (version if status == 303 else before)


async def test_the_token_of_another_session_is_refused(tmp_path: Path) -> None:
    shop = Shop()
    shop.registry = registry(tmp_path, "basket_lstm")
    async with shop.client() as client:
        foreign = token(await client.get("/models"))
        client.cookies.clear()
        assert token(await client.get("/models")) != foreign
        answer = await client.post("/models/rollback", data={"token": foreign}, headers=ORIGIN)
    assert (answer.status_code, "Load the page again" in text(answer)) == (403, True)


async def test_two_servers_of_one_machine_do_not_end_each_others_sessions() -> None:
    shop = Shop()
    async with shop.client("localhost:8080") as client:
        first = token(await client.get("/rules"))
        await client.get("http://localhost:8081/rules")
        assert token(await client.get("/rules")) == first
        assert len(client.cookies) == 2


def test_a_session_ends_by_itself_and_the_oldest_make_room() -> None:
    shop, now = Shop(), [0.0]
    sessions = Sessions(shop.services().access, lambda: now[0])
    first = sessions.open(CALLER)
    assert sessions.of(request_with(first)) is first
    others = [sessions.open(CALLER) for _ in range(MAX_SESSIONS - 1)]
    assert sessions.of(request_with(first)) is first
    sessions.open(CALLER)
    assert sessions.of(request_with(first)) is first
    assert sessions.of(request_with(others[0])) is not others[0]
    now[0] = LIFETIME_S + 1
    assert sessions.of(request_with(first)) is not first


async def test_with_keys_a_browser_signs_in_once_and_out_again() -> None:
    reader, admin = new_key("watcher", [Scope.READ]), new_key("boss", [Scope.ADMIN])
    shop = Shop(api_keys=f"{reader.line};{admin.line}")
    async with shop.client("shop.example") as client:
        origin = {"Origin": "http://shop.example"}
        asked = await client.get("/customers?id=anna")
        assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=%2Fcustomers%3Fid%3Danna")
        form = await client.get(asked.headers["location"])
        assert 'value="/customers?id=anna"' in form.text
        wrong = await client.post("/sign-in", data={"key": "nb_wrong", "next": "/"}, headers=origin)
        assert (wrong.status_code, "The key is not known" in text(wrong)) == (401, True)
        assert (await client.post("/sign-in", data={"key": reader.key})).status_code == 403
        done = await client.post("/sign-in", data={"key": reader.key, "next": "/customers?id=anna"}, headers=origin)
        assert (done.status_code, done.headers["location"]) == (303, "/customers?id=anna")
        cookie = done.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert reader.key not in cookie
        page = await client.get("/models")
        assert "watcher" in text(page)
        refused = await client.post("/models/rollback", data={"token": token(page)}, headers=origin)
        assert (refused.status_code, "lacks the scope admin" in text(refused)) == (403, True)
        await client.post("/sign-out", data={"token": token(page)}, headers=origin)
        over = await client.post("/models/rollback", data={"token": token(page)}, headers=origin)
        assert (over.status_code, 'href="/sign-in"' in over.text) == (401, True)
        assert (await client.get("/models")).status_code == 303


async def test_a_key_that_is_withdrawn_ends_its_session(tmp_path: Path) -> None:
    leaving, staying = new_key("leaving", [Scope.READ]), new_key("staying", [Scope.READ])
    file = tmp_path / "keys"
    file.write_text(f"{leaving.line}\n{staying.line}\n")
    shop = Shop(api_keys_file=str(file))
    services = shop.services()
    reload = KeyReload(shop.settings, services.access)
    transport = httpx.ASGITransport(create_app(services))
    origin = {"Origin": "http://shop.example"}

    async def signed_in(key: str) -> httpx.AsyncClient:
        client = httpx.AsyncClient(transport=transport, base_url="http://shop.example")
        await client.post("/sign-in", data={"key": key}, headers=origin)
        assert (await client.get("/rules")).status_code == 200
        return client

    gone, still = await signed_in(leaving.key), await signed_in(staying.key)
    file.write_text(staying.line)
    reload.check()
    assert ((await gone.get("/rules")).status_code, (await still.get("/rules")).status_code) == (303, 200)


async def test_a_key_in_a_header_opens_no_page_and_a_session_no_api() -> None:
    key = new_key("watcher", [Scope.READ])
    shop = Shop(api_keys=key.line)
    async with shop.client("shop.example") as client:
        assert (await client.get("/", headers={"X-API-Key": key.key})).status_code == 303
        await client.post("/sign-in", data={"key": key.key}, headers={"Origin": "http://shop.example"})
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/v1/customers/anna")).status_code == 401


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "/v1/items", "//[", "javascript:alert(1)"]
)
def test_after_the_key_comes_only_a_page_of_this_server(target: str) -> None:
    assert local_page(target) == "/"


def test_a_number_has_all_its_digits() -> None:
    assert [number(each) for each in (None, 12.0, 12_345.67, 1_234_567.0, 0.001)] == [
        *("–", "12", "12345.67", "1234567", "0.001")
    ]


async def test_a_bug_is_a_page_and_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(registry: Registry) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("stream.api.pages.models.model_versions", fail)
    async with Shop().client() as client:
        page = await client.get("/models")
    assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "This is a mistake in nextbasket; its log has the details." in text(page)
    assert "RuntimeError: a bug" in caplog.text


async def test_an_error_is_a_page() -> None:
    shop = Shop()
    async with shop.client() as client:
        page = await client.get("/live/stream")
    assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "No Kafka is set" in text(page)
