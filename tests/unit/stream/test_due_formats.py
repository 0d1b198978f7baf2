"""Files and requests of due customers; requests go to endpoints that check them as the marketing systems do."""

import csv
import io
import json
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import pytest

from state.domain.due import DueCustomer
from state.domain.recommendation import Item, ModelVersion, Reason
from stream.tools.due_formats import BRAZE_EVENTS, KLAVIYO_REVISION, WRITERS, braze_requests, klaviyo_event, why
from tests.unit.stream.endpoint import Request, endpoint

ITEMS = [
    Item("22613", 'NAPKINS, "SPACEBOY"', 0.31, "replenish", Reason("bought_regularly", {"times": 7, "last": "2011"})),
    Item("47566", None, 0.2, "discover", Reason("in_demand", {"baskets": 2.5})),
]


def customer(number: int = 1, items: list[Item] | None = None, **attributes: str) -> DueCustomer:
    return DueCustomer(
        due_id=f"id{number}",
        customer_id=f"c{number}",
        at="2011-12-09T12:50:00Z",
        within_days=7,
        valid_until="2011-12-16T12:50:00Z",
        chance=0.62,
        due_date=None,
        last_purchase="2011-11-10T09:12:00Z",
        days_since=29,
        purchases=9,
        basket_value=212.4,
        expected_value=131.69,
        model=ModelVersion("basket_lstm", "v1"),
        items=ITEMS if items is None else items,
        attributes=attributes,
    )


def written(form: str, *customers: DueCustomer, top_k: int = 3) -> bytes:
    file = io.BytesIO()
    WRITERS[form](file, customers, top_k)
    assert not file.closed
    return file.getvalue()


def test_a_reason_is_written_with_its_facts() -> None:
    assert why(ITEMS[0].reason) == "bought_regularly: times 7, last 2011"
    assert why(Reason("in_demand", {})) == "in_demand"


def test_json_has_what_is_on_the_topic() -> None:
    customers = [customer(1, country="ä"), customer(2)]
    lines = written("json", *customers).splitlines()
    assert [msgspec.json.decode(line, type=DueCustomer) for line in lines] == customers


def test_csv_has_five_columns_for_each_item() -> None:
    first, second = csv.DictReader(io.StringIO(written("csv", customer(1, city="Łódź"), customer(2, [])).decode()))
    assert first["item_1_description"] == 'NAPKINS, "SPACEBOY"'
    assert (first["item_2_stock_code"], first["item_2_why"]) == ("47566", "in_demand: baskets 2.5")
    assert (first["item_2_description"], first["due_date"]) == ("", "")
    assert json.loads(first["attributes"]) == {"city": "Łódź"}
    assert list(first)[-1] == "item_3_why"
    assert (first["chance"], first["model"]) == ("0.62", "basket_lstm/v1")
    assert (second["customer_id"], second["item_1_stock_code"]) == ("c2", None)


def test_parquet_has_a_list_of_items() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(written("parquet", customer(1, country="France"), customer(2, []))))
    first, second = table.to_pylist()
    assert first["items"][1] == {
        "stock_code": "47566",
        "description": None,
        "probability": 0.2,
        "slot": "discover",
        "why": "in_demand: baskets 2.5",
    }
    assert (first["attributes"], first["purchases"], first["due_date"]) == ([("country", "France")], 9, None)
    assert (second["items"], second["attributes"]) == ([], [])


def posted(url: str, body: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        return int(response.status)


def braze(request: Request, number: int) -> tuple[int, dict[str, str]]:
    """As Braze's /users/track: what is required of a request and of each event object."""
    body = json.loads(request.body)
    assert request.headers["authorization"].startswith("Bearer ")
    assert set(body) <= {"attributes", "events", "purchases"}
    assert 0 < len(body["events"]) <= 75
    for event in body["events"]:
        assert set(event) <= {"external_id", "app_id", "name", "time", "properties", "_update_existing_only"}
        assert event["external_id"]
        assert event["name"]
        datetime.fromisoformat(event["time"])
        assert all(0 < len(name) <= 255 and not name.startswith("$") for name in event["properties"])
        assert len(json.dumps(event["properties"])) < 100_000
    return 201, {}


def klaviyo(request: Request, number: int) -> tuple[int, dict[str, str]]:
    """As Klaviyo's /api/events: JSON:API with a metric and a profile in the attributes."""
    assert request.headers["authorization"].startswith("Klaviyo-API-Key ")
    assert request.headers["content-type"] == "application/vnd.api+json"
    datetime.fromisoformat(request.headers["revision"])
    data = json.loads(request.body)["data"]
    attributes = data["attributes"]
    assert data["type"] == "event"
    assert {"properties", "metric", "profile"} <= set(attributes)
    assert set(attributes) <= {"properties", "metric", "profile", "time", "value", "value_currency", "unique_id"}
    assert attributes["metric"]["data"]["type"] == "metric"
    assert attributes["metric"]["data"]["attributes"]["name"]
    assert attributes["profile"]["data"]["type"] == "profile"
    assert set(attributes["profile"]["data"]["attributes"]) & {"external_id", "email", "phone_number"}
    datetime.fromisoformat(attributes["time"])
    return 202, {}


def accepted(form: str, check: Callable[[Request, int], Any], headers: dict[str, str], *customers: DueCustomer) -> int:
    """The number of requests of a file, all accepted."""
    lines = written(form, *customers).splitlines()
    with endpoint(check) as served:
        for line in lines:
            assert posted(served.url, line, headers) in (201, 202)
    return len(lines)


def test_braze_takes_every_request_of_75_events() -> None:
    customers = [customer(number) for number in range(2 * BRAZE_EVENTS + 1)]
    assert (
        accepted("braze", braze, {"Authorization": "Bearer key", "Content-Type": "application/json"}, *customers) == 3
    )
    events = [event for body in braze_requests(customers) for event in body["events"]]
    assert [event["external_id"] for event in events] == [each.customer_id for each in customers]
    assert events[0]["properties"]["items"][0]["stock_code"] == "22613"


def test_klaviyo_takes_every_event() -> None:
    headers = {
        "Authorization": "Klaviyo-API-Key key",
        "revision": KLAVIYO_REVISION,
        "Content-Type": "application/vnd.api+json",
    }
    assert accepted("klaviyo", klaviyo, headers, customer(1), customer(2, [])) == 2
    attributes = klaviyo_event(customer(1))["data"]["attributes"]
    assert (attributes["unique_id"], attributes["value"]) == ("id1", 131.69)
