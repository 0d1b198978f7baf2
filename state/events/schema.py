"""JSON Schema of an invoice event, for storefronts to validate against (docs/reference/events.md)."""

from typing import Any

from state.events.attributes import MAX_KEY_CHARS, MAX_KEYS, MAX_VALUE_CHARS
from state.events.wire import EVENT_TYPE, EVENT_VERSION
from state.settings import Settings

_ATTRIBUTES = (
    f"An object with text of up to {MAX_VALUE_CHARS} characters, finite numbers or booleans under keys of up to "
    f"{MAX_KEY_CHARS} characters; the first {MAX_KEYS} keys are used, and any other value is ignored."
)


def event_schema(settings: Settings) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of an event under the bounds of the settings.

    Only the decoder checks empty text after trimming, control characters in ids and codes, more than three decimals,
    dates in the future, and the size in bytes: a schema cannot express them.
    """
    code = {
        "oneOf": [
            {"type": "string", "minLength": 1, "maxLength": settings.max_code_chars, "pattern": r"\S"},
            {"type": "integer"},
        ]
    }
    customer = {"type": ["string", "number", "null"], "maxLength": settings.max_code_chars}
    date = {
        "type": "string",
        "pattern": r"^\s*([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4} +[0-9]{1,2}):[0-9]{2}",
        "examples": ["2011-12-09T12:50:00Z", "2011-12-09 12:50", "12/9/2011 12:50"],
    }
    number = {"type": "number", "minimum": -settings.max_number, "maximum": settings.max_number}
    description = {"type": ["string", "null"], "maxLength": settings.max_description_chars}
    common = {
        "type": {"enum": [EVENT_TYPE, None]},
        "version": {"enum": [EVENT_VERSION, None]},
    }
    of_customer = {
        "description": f"{_ATTRIBUTES} Attributes of the customer.",
        "examples": [{"gender": "F", "city": "4"}],
    }
    of_item = {"description": f"{_ATTRIBUTES} Attributes of the item.", "examples": [{"category": "Books"}]}
    country = {"description": "The customer's attribute of that name; a value that is not a string is ignored."}
    within = {
        "description": "Further data of the customer; a value that is not an object is ignored.",
        "examples": [{"attributes": {"gender": "F", "city": "4"}}],
    }
    line_id = {"oneOf": [*code["oneOf"], {"type": "null"}, {"const": ""}]}
    line = {
        "type": "object",
        "required": ["stock_code", "quantity", "unit_price"],
        "properties": {
            "stock_code": code,
            "quantity": number,
            "unit_price": number,
            "description": description,
            "line_id": line_id,
            "attributes": of_item,
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Invoice event, version 1",
        "oneOf": [
            {
                "title": "An invoice, or a part of one, with its lines",
                "type": "object",
                "required": ["invoice_no", "invoice_date", "lines"],
                "properties": {
                    "invoice_no": code,
                    "customer_id": customer,
                    "invoice_date": date,
                    "lines": {"type": "array", "minItems": 1, "maxItems": settings.max_lines, "items": line},
                    "country": country,
                    "customer": within,
                    "attributes": of_customer,
                    **common,
                },
            },
            {
                "title": "A single line, in the columns of UCI Online Retail",
                "type": "object",
                "required": ["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice"],
                "not": {"required": ["invoice_no"]},
                "properties": {
                    "InvoiceNo": code,
                    "StockCode": code,
                    "Description": description,
                    "Quantity": number,
                    "InvoiceDate": date,
                    "UnitPrice": number,
                    "CustomerID": customer,
                    "line_id": line_id,
                    "Country": country,
                    "customer": within,
                    "attributes": of_item,
                    **common,
                },
            },
        ],
    }
