"""Item events: what is accepted, the reasons for dead letters, and the published schema."""

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from state import InvalidEvent, Settings
from state.domain.catalogue import Catalogue
from state.events.catalogue import CatalogueDecoder, CatalogueItem, encode_item, item_event_schema

CODE = "22613"


def decode(event: object, key: bytes | None = None, **settings: Any) -> CatalogueItem:
    raw = event if isinstance(event, bytes) else json.dumps(event).encode()
    return CatalogueDecoder(Settings(**settings)).decode(raw, key)


def item(**fields: Any) -> dict[str, Any]:
    return {"stock_code": CODE, **fields}


def test_a_whole_item() -> None:
    event = {
        "type": "item",
        "version": 1,
        "stock_code": 22613,
        "name": "  Napkins  ",
        "category": "Party >  Napkins",
        "price": 0.8500000238418579,
        "stock": 3,
        "image": "https://shop.example/a.jpg",
        "url": "HTTP://shop.example/22613",
        "on_sale_from": "2011-12-01",
        "on_sale_until": "2011-12-09T12:50:00Z",
        "blocked": False,
        "attributes": {"brand": " Spaceboy ", "pieces": 20, "list": [1]},
        "updated": "2011-12-09T12:50:00+01:00",
        "whatever": {"else": None},
    }
    assert decode(event, b"22613") == CatalogueItem(
        stock_code=CODE,
        name="Napkins",
        category=("Party", "Napkins"),
        price=0.85,
        stock=3.0,
        image="https://shop.example/a.jpg",
        url="HTTP://shop.example/22613",
        on_sale_from=1_322_697_600,
        on_sale_until=1_323_435_000,
        attributes={"brand": "Spaceboy", "pieces": "20"},
        updated=1_323_431_400,
    )


def test_the_least_item_and_null_everywhere() -> None:
    fields = (
        "name",
        "category",
        "price",
        "stock",
        "image",
        "url",
        "on_sale_from",
        "on_sale_until",
        "blocked",
        "updated",
    )
    assert decode(item()) == CatalogueItem(CODE)
    assert decode(item(**dict.fromkeys(fields), type=None, version=None)) == CatalogueItem(CODE)


def test_the_dialect_and_the_zone_apply() -> None:
    found = decode(
        {"stock_code": "85123a", "on_sale_from": "2011-12-01"}, b"85123a", dialect="uci", timezone="Europe/Berlin"
    )
    assert found == CatalogueItem("85123A", on_sale_from=1_322_694_000)


INVALID = [
    (b"", "The event is empty"),
    (b"\xff{}", "The event is not UTF-8"),
    (b"{", "The event is not JSON"),
    (b"[]", "The event is no JSON object"),
    ({}, "stock_code is missing; it must be a string of 1 to 100 characters, no control characters, or an integer."),
    ({"stock_code": " "}, "stock_code cannot be taken"),
    ({"stock_code": "NULL"}, "stock_code cannot be taken"),
    ({"stock_code": "x" * 101}, "stock_code cannot be taken"),
    ({"stock_code": 1.5}, "stock_code cannot be taken"),
    (item(name="x" * 1_001), "name cannot be taken; it must be a string of up to 1,000 characters or null."),
    (item(name=5), "name cannot be taken"),
    (item(category=["x"] * 21), "category cannot be taken; it must be a list of up to 20 strings"),
    (item(category=["x", 5]), "category cannot be taken"),
    (item(category="x" * 101), "category cannot be taken"),
    (item(price=-0.01), "price cannot be taken; it must be a number from 0 to 10,000,000, or null."),
    (item(price="1"), "price cannot be taken"),
    (item(stock=10_000_001), "stock cannot be taken; it must be a number within ±10,000,000"),
    (item(stock=True), "stock cannot be taken"),
    (item(image="a.jpg"), "image cannot be taken; it must be an address that begins with http:// or https://"),
    (item(url="javascript:alert(1)"), "url cannot be taken"),
    (item(url="https://" + "x" * 2_048), "url cannot be taken"),
    (item(url="https:// a"), "url cannot be taken"),
    (item(on_sale_from="soon"), "on_sale_from cannot be taken; it must be a date such as 2011-12-09"),
    (item(on_sale_until="2011-02-30"), "on_sale_until cannot be taken"),
    (item(on_sale_from="2011-12-02", on_sale_until="2011-12-02"), "on_sale_until cannot be taken; it must be after"),
    (item(blocked="no"), "blocked cannot be taken; it must be true, false or null."),
    (item(updated=5), "updated cannot be taken"),
    (item(type="invoice"), 'type cannot be taken; it must be "item", or be left out.'),
    (item(version=2), "version cannot be taken; it must be 1, or be left out."),
]


@pytest.mark.parametrize(("event", "reason"), INVALID)
def test_an_invalid_event_has_a_reason_that_names_the_field(event: object, reason: str) -> None:
    with pytest.raises(InvalidEvent) as found:
        decode(event)
    assert str(found.value).startswith(reason)
    assert str(found.value).endswith(".")


def test_the_key_is_the_stock_code() -> None:
    assert decode(item(), b" 22613 ") == CatalogueItem(CODE)
    for key in (b"22614", b"", b"\xff"):
        with pytest.raises(InvalidEvent, match="The key of the record is not the stock code '22613'"):
            decode(item(), key)


def test_an_event_too_large_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="it may have at most 20"):
        decode(item(), max_event_bytes=20)
    with pytest.raises(InvalidEvent, match="nested too deeply"):
        decode(b'{"stock_code": "1", "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}")


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(
        lambda value: json.dumps({"stock_code": value, "category": value, "attributes": value}).encode()
    )
)
def test_any_bytes_give_an_item_or_a_reason(raw: bytes) -> None:
    with suppress(InvalidEvent):
        assert isinstance(decode(raw), CatalogueItem)


@given(
    st.builds(
        CatalogueItem,
        stock_code=st.sampled_from(["22613", "ÄÖ 12", "a/b"]),
        name=st.none() | st.sampled_from(["Napkins", "Naïve"]),
        category=st.sampled_from([(), ("A",), ("A", "b c")]),
        price=st.none() | st.integers(0, 10**6).map(lambda cents: cents / 100),
        stock=st.none() | st.integers(-100, 100).map(float),
        on_sale_from=st.none() | st.integers(0, 10**9),
        on_sale_until=st.none() | st.integers(10**9 + 1, 2 * 10**9),
        blocked=st.booleans(),
        attributes=st.sampled_from([{}, {"brand": "x"}]),
        updated=st.none() | st.integers(0, 10**9),
    )
)
def test_an_encoded_item_decodes_to_the_same(one: CatalogueItem) -> None:
    assert decode(encode_item(one), one.stock_code.encode()) == one


ONLY_THE_DECODER = [
    {"stock_code": "NULL"},
    item(category="x" * 101),
    item(url="https:// a"),
    item(on_sale_from="soon"),
    item(on_sale_until="2011-02-30"),
    item(on_sale_from="2011-12-02", on_sale_until="2011-12-02"),
]
"""Invalid events that a schema cannot tell from valid ones."""


@pytest.mark.parametrize(
    ("event", "good"),
    [
        (item(), True),
        (item(category=["A", "B"], stock=None, url="https://shop.example/1", blocked=True), True),
        (item(category="A > B", on_sale_from="2011-12-09", updated="2011-12-09 12:50"), True),
        *((event, False) for event, _ in INVALID if isinstance(event, dict) and event not in ONLY_THE_DECODER),
    ],
)
def test_the_json_schema_agrees_with_the_decoder(event: dict[str, Any], good: bool) -> None:
    schema = item_event_schema(Settings())
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(event) is good


def test_a_changed_catalogue_equals_one_built_anew() -> None:
    rng = random.Random(1)
    catalogue, expected = Catalogue(), dict[str, CatalogueItem]()
    for _ in range(300):
        code = str(rng.randrange(20))
        one = None if rng.random() < 0.3 else CatalogueItem(code, stock=rng.choice([None, 0.0, 2.0]))
        before = dict(catalogue)
        changed = catalogue.with_changes({code: one})
        assert catalogue == before, "the catalogue itself does not change"
        catalogue = changed
        expected.pop(code, None)
        if one is not None:
            expected[code] = one
        assert catalogue == expected
        assert catalogue.forbids_nothing == Catalogue(expected).forbids_nothing
