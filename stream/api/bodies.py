"""JSON bodies of questions, decoded strictly: an unknown field or a wrong value is 400 with its path."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Path, Request
from msgspec import Meta

from stream.api.cart import MAX_CART
from stream.api.problems import FieldError, Problem, invalid_request
from stream.api.visits import MAX_EXCLUDED, MAX_LIMIT, Slot

MAX_CODE_CHARS = 1_000
"""Greatest length of an id in a path, a parameter or a body; settings bound those of events more narrowly."""
MAX_CUSTOMERS = 100
"""Greatest number of customers of one question."""

JSON = "application/json"

StockCode = Annotated[
    str, Path(min_length=1, max_length=MAX_CODE_CHARS, description="The stock code.", examples=["22613"])
]
"""The parameter of a path."""

T = TypeVar("T")

Code = Annotated[str, Meta(min_length=1, max_length=MAX_CODE_CHARS)]
Codes = Annotated[list[Code], Meta(max_length=MAX_EXCLUDED)]


class ListQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A question for a list, as the parameters of ``GET``; ``cart``: stock codes in the visitor's cart."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] | None = None
    slot: Slot | None = None
    category: Code | None = None
    exclude: Codes = []
    at: Annotated[str, Meta(max_length=40)] | None = None
    country: Annotated[str, Meta(max_length=MAX_CODE_CHARS)] | None = None
    attributes: Annotated[Mapping[str, str | int | float | bool], Meta(max_length=32)] = {}
    cart: Annotated[list[Code], Meta(max_length=MAX_CART)] = []


class BatchQuestion(ListQuestion, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same question for several customers."""

    customers: Annotated[list[Code], Meta(min_length=1, max_length=MAX_CUSTOMERS)]


async def read_body(request: Request, model: type[T]) -> T:
    """The body of a request.

    Raises:
        Problem: It is not JSON, or not of the type.
    """
    require_json(request)
    try:
        return msgspec.json.decode(await request.body(), type=model)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        field = path.strip(".`") or None
        detail = f"{field}: {message[:1].lower()}{message[1:]}." if field else f"{message}."
        raise invalid_request(detail, [FieldError(detail, field)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid_request(f"The body is not JSON ({error}).") from None


def require_json(request: Request) -> None:
    """Check the type of the body; a form of a web page cannot send this one without asking first (CORS).

    Raises:
        Problem: It is another one.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Problem(415, "not-json", "The body must be JSON", f"Send it with Content-Type: {JSON}.")


def request_body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """``openapi_extra`` of a route that reads a JSON body itself."""
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema, "example": example}}}}
