"""Due customers as files and as requests to marketing systems: JSON Lines, CSV, Parquet, Braze, Klaviyo."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import msgspec

from state.domain.due import DueCustomer
from state.domain.recommendation import Item, Reason
from stream.pipeline.due import portions

EVENT = "nextbasket due"
"""Name of the event in Braze and Klaviyo."""
BRAZE_EVENTS = 75
"""Most events that one request of Braze's ``/users/track`` may have."""
KLAVIYO_REVISION = "2026-10-15"
"""Revision of Klaviyo's API whose format is written."""
ROWS = 1_000
"""Rows of a row group of Parquet."""

Writer = Callable[[BinaryIO, Iterable[DueCustomer], int], None]
"""Writes customers to a file; the number is the greatest number of items of a customer."""

_COLUMNS = (
    "customer_id",
    "chance",
    "due_date",
    "basket_value",
    "expected_value",
    "at",
    "within_days",
    "valid_until",
    "last_purchase",
    "days_since",
    "purchases",
    "due_id",
)
_ITEM_COLUMNS = ("stock_code", "description", "probability", "slot", "why")


def why(reason: Reason) -> str:
    """A reason in a few words, such as ``bought_regularly: times 7, last 2011-12-09``."""
    facts = ", ".join(f"{name} {value}" for name, value in reason.evidence.items())
    return f"{reason.code}: {facts}" if facts else reason.code


def write_json(file: BinaryIO, customers: Iterable[DueCustomer], top_k: int) -> None:
    """One JSON object a line, as on the topic."""
    for customer in customers:
        file.write(msgspec.json.encode(customer) + b"\n")


def write_csv(file: BinaryIO, customers: Iterable[DueCustomer], top_k: int) -> None:
    """One row a customer: the numbers, the attributes as JSON, and five columns for each of ``top_k`` items."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text)
        items = [f"item_{number}_{column}" for number in range(1, top_k + 1) for column in _ITEM_COLUMNS]
        writer.writerow([*_COLUMNS, "model", "attributes", *items])
        for each in customers:
            numbers = [getattr(each, column) for column in _COLUMNS]
            attributes = msgspec.json.encode(each.attributes).decode() if each.attributes else ""
            cells = [cell for item in each.items for cell in _item_row(item)]
            writer.writerow([*numbers, f"{each.model.name}/{each.model.version}", attributes, *cells])
    finally:
        text.detach()


def write_parquet(file: BinaryIO, customers: Iterable[DueCustomer], top_k: int) -> None:
    """One row a customer; ``items`` is a list of structs, ``attributes`` a map."""
    import pyarrow as pa
    import pyarrow.parquet

    text, number, whole = pa.string(), pa.float64(), pa.int64()
    item = pa.struct([(name, number if name == "probability" else text) for name in _ITEM_COLUMNS])
    kinds: dict[str, pa.DataType] = dict.fromkeys(("chance", "basket_value", "expected_value"), number)
    kinds |= dict.fromkeys(("within_days", "days_since", "purchases"), whole)
    schema = pa.schema(
        [
            *((name, kinds.get(name, text)) for name in _COLUMNS),
            ("model", text),
            ("attributes", pa.map_(text, text)),
            ("items", pa.list_(item)),
        ]
    )
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for rows in portions(customers, ROWS):
            writer.write_table(pa.Table.from_pylist([_parquet_row(each) for each in rows], schema=schema))


def write_braze(file: BinaryIO, customers: Iterable[DueCustomer], top_k: int) -> None:
    """One request body for Braze's ``/users/track`` a line."""
    for body in braze_requests(customers):
        file.write(msgspec.json.encode(body) + b"\n")


def write_klaviyo(file: BinaryIO, customers: Iterable[DueCustomer], top_k: int) -> None:
    """One request body for Klaviyo's ``/api/events`` a line."""
    for customer in customers:
        file.write(msgspec.json.encode(klaviyo_event(customer)) + b"\n")


WRITERS: dict[str, Writer] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "json": write_json,
    "braze": write_braze,
    "klaviyo": write_klaviyo,
}


def braze_requests(customers: Iterable[DueCustomer]) -> Iterator[dict[str, Any]]:
    """Bodies for ``POST /users/track``: one custom event a customer, at most ``BRAZE_EVENTS`` a request.

    The customer id is Braze's ``external_id``. Only known users get the event.
    Source: https://www.braze.com/docs/api/endpoints/user_data/post_user_track
    """
    for portion in portions(customers, BRAZE_EVENTS):
        yield {
            "events": [
                {
                    "external_id": each.customer_id,
                    "name": EVENT,
                    "time": each.at,
                    "properties": _properties(each),
                    "_update_existing_only": True,
                }
                for each in portion
            ]
        }


def klaviyo_event(customer: DueCustomer) -> dict[str, Any]:
    """The body for ``POST /api/events``: Klaviyo takes the same ``unique_id`` of a profile and metric once.

    The customer id is Klaviyo's ``external_id``.
    Source: https://developers.klaviyo.com/en/reference/create_event
    """
    return {
        "data": {
            "type": "event",
            "attributes": {
                "properties": _properties(customer),
                "time": customer.at,
                "value": customer.expected_value,
                "unique_id": customer.due_id,
                "metric": {"data": {"type": "metric", "attributes": {"name": EVENT}}},
                "profile": {"data": {"type": "profile", "attributes": {"external_id": customer.customer_id}}},
            },
        }
    }


def _properties(customer: DueCustomer) -> dict[str, Any]:
    return {
        "due_id": customer.due_id,
        "chance": customer.chance,
        "within_days": customer.within_days,
        "due_date": customer.due_date,
        "valid_until": customer.valid_until,
        "last_purchase": customer.last_purchase,
        "basket_value": customer.basket_value,
        "expected_value": customer.expected_value,
        "items": [dict(zip(_ITEM_COLUMNS, _item_row(item), strict=True)) for item in customer.items],
    }


def _item_row(item: Item) -> Sequence[Any]:
    return item.stock_code, item.description, item.probability, item.slot, why(item.reason)


def _parquet_row(customer: DueCustomer) -> dict[str, Any]:
    return {
        **{name: getattr(customer, name) for name in _COLUMNS},
        "model": f"{customer.model.name}/{customer.model.version}",
        "attributes": list(customer.attributes.items()),
        "items": [dict(zip(_ITEM_COLUMNS, _item_row(item), strict=True)) for item in customer.items],
    }
