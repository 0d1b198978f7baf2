"""Rules and items of the catalogue over HTTP; workers and servers obey them within a second."""

import asyncio
import time
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Request, Response

from state.domain.rules import MAX_VERSION_STEP, missing_from, replace_version
from state.errors import InvalidEvent
from state.events.catalogue import CatalogueDecoder, CatalogueItem
from state.events.dialect import dialect_named
from state.events.rules import RULES_KEY, Rules, decode_rules, encode_rules
from stream.api.access import Merchandiser, Reader
from stream.api.bodies import JSON, StockCode, request_body, require_json
from stream.api.documentation import TEMPLATE, USUAL, problem_answers
from stream.api.paths import ITEM
from stream.api.problems import FieldError, Problem, invalid_request, unavailable
from stream.api.services import Services
from stream.messages import Message

router = APIRouter(tags=["merchandising"])

ITEM_EVENT = "ItemEvent"
RULES = "Rules"
"""Names of schemas in the OpenAPI document."""

READ_BACK_S = 5.0
"""How long new rules may take until this server obeys them."""

_ITEM = {"$ref": TEMPLATE.format(name=ITEM_EVENT)}
_RULES = {"$ref": TEMPLATE.format(name=RULES)}
_ITEM_EXAMPLE = {"stock_code": "22613", "name": "Pack of 20 napkins", "price": 0.85, "stock": 120, "category": "Party"}
_RULES_EXAMPLE: dict[str, Any] = {
    "version": 4,
    "rules": [{"kind": "cap", "name": "three of a category", "most": 3}],
}
_CHECKED: dict[int | str, Any] = {
    200: {"description": "The document is valid; `notes` names the rules that match no item of the catalogue."}
}
_ACCEPTED: dict[int | str, Any] = {202: {"description": "Kafka has confirmed it."}}
_RULES_ANSWER: dict[int | str, Any] = {
    200: {
        "description": "The rules in force; the entity tag is their version.",
        "content": {JSON: {"schema": _RULES, "example": _RULES_EXAMPLE}},
    }
}


@router.get(
    "/v1/rules",
    summary="The rules in force",
    responses=_RULES_ANSWER | problem_answers(),
    response_class=Response,
)
async def get_rules(request: Request, caller: Reader) -> Response:
    """The document, as ``PUT`` takes it."""
    services: Services = request.app.state.services
    return _rules_response(services.merchandising().rules.document)


@router.put(
    "/v1/rules",
    summary="Replace the rules",
    responses=_RULES_ANSWER | problem_answers((*USUAL, 408, 412, 413, 415)),
    response_class=Response,
    openapi_extra=request_body(_RULES, {"rules": _RULES_EXAMPLE["rules"]}),
)
async def put_rules(
    request: Request,
    caller: Merchandiser,
    if_match: Annotated[str | None, Header(max_length=100, description="The entity tag of those to replace.")] = None,
) -> Response:
    """Replace the whole document. Without a version it gets the next one. 200 once this server obeys it."""
    services: Services = request.app.state.services
    require_json(request)
    try:
        document = decode_rules(await request.body())
    except InvalidEvent as error:
        raise _invalid(error) from None
    return _rules_response(await replace_rules(services, document, if_match))


async def replace_rules(services: Services, document: Rules, if_match: str | None) -> Rules:
    """Replace the rules; returns those in force once this server obeys them.

    Args:
        services: Of this process.
        document: The new rules; without a version they get the next one.
        if_match: The entity tag of those to replace, None for whatever is in force.

    Raises:
        Problem: 412 where others are in force, 503 where Kafka does not confirm or this server does not obey in time.
    """
    before = services.merchandising().rules.document
    if if_match is not None and if_match.strip() != tag_of(before):
        raise _not_newest(f"Version {before.version} is in force, not {if_match}; read it and change it again.")
    if document.version and document.version <= before.version:
        raise _not_newest(f"The document has version {document.version}, and version {before.version} is in force.")
    if document.version > before.version + MAX_VERSION_STEP:
        raise invalid_request(f"version: it may be {before.version + MAX_VERSION_STEP:,} at most, or be left out.")
    document = replace_version(document, document.version or before.version + 1)
    await services.ingestion.ask((Message(services.settings.topics.rules, RULES_KEY, encode_rules(document)),))
    deadline = time.monotonic() + READ_BACK_S
    while (now := services.merchandising().rules.document) == before and document != before:
        if time.monotonic() > deadline:
            raise unavailable("Kafka has the rules, and this server does not obey them yet; GET /v1/rules shows when.")
        await asyncio.sleep(0.02)
    if now != document:
        raise _not_newest("Somebody else set rules at the same time, and theirs are in force.")
    return now


@router.post(
    "/v1/rules/check",
    summary="Check rules without setting them",
    responses=_CHECKED | problem_answers((*USUAL, 408, 413, 415)),
    response_class=Response,
    openapi_extra=request_body(_RULES, {"rules": _RULES_EXAMPLE["rules"]}),
)
async def check_rules(request: Request, caller: Reader) -> Response:
    """200 with notes, or 400 with the first wrong field."""
    services: Services = request.app.state.services
    require_json(request)
    try:
        document = decode_rules(await request.body())
    except InvalidEvent as error:
        raise _invalid(error) from None
    notes = list(missing_from(document, services.merchandising().catalogue, dialect_named(services.settings.dialect)))
    return Response(msgspec.json.encode({"rules": len(document.rules), "notes": notes}), media_type=JSON)


@router.put(
    ITEM,
    status_code=202,
    summary="Replace an item of the catalogue",
    responses=_ACCEPTED | problem_answers((*USUAL, 408, 413, 415)),
    response_class=Response,
    openapi_extra=request_body(_ITEM, _ITEM_EXAMPLE),
)
async def put_item(request: Request, caller: Merchandiser, stock_code: StockCode) -> Response:
    """Replace the whole item; ``stock_code`` in the body may be left out."""
    services: Services = request.app.state.services
    require_json(request)
    code = services.stock_code(stock_code)
    await set_item(services, code, await request.body())
    return Response(status_code=202)


async def set_item(services: Services, code: str, body: bytes) -> CatalogueItem:
    """Publish the event of an item; ``code`` is its canonical stock code.

    Raises:
        Problem: 400 for an invalid event, 503 where Kafka does not confirm.
    """
    try:
        raw = _with_stock_code(body, code)
        item = CatalogueDecoder(services.settings).decode(raw, code.encode())
    except InvalidEvent as error:
        raise _invalid(error) from None
    await services.ingestion.ask((Message(services.settings.topics.items, code.encode(), raw),))
    return item


@router.delete(
    ITEM,
    status_code=202,
    summary="Delete an item from the catalogue",
    responses=_ACCEPTED | problem_answers(),
    response_class=Response,
)
async def delete_item(request: Request, caller: Merchandiser, stock_code: StockCode) -> Response:
    """Delete the entry of the catalogue; what was sold stays known."""
    services: Services = request.app.state.services
    await remove_item(services, services.stock_code(stock_code))
    return Response(status_code=202)


async def remove_item(services: Services, code: str) -> None:
    """Publish that an item is no part of the catalogue.

    Raises:
        Problem: 503 where Kafka does not confirm.
    """
    await services.ingestion.ask((Message(services.settings.topics.items, code.encode(), None),))


def _with_stock_code(body: bytes, code: str) -> bytes:
    """The body of an item, with the stock code of the path where it has none."""
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body  # the decoder of items reports what is wrong
    return body if "stock_code" in members else msgspec.json.encode({"stock_code": code, **members})


def _rules_response(document: Rules) -> Response:
    headers = {"ETag": tag_of(document), "Cache-Control": "no-cache"}
    return Response(encode_rules(document), headers=headers, media_type=JSON)


def tag_of(document: Rules) -> str:
    """The entity tag of rules."""
    return f'"{document.version}"'


def _invalid(error: InvalidEvent) -> Problem:
    return invalid_request(str(error), [FieldError(str(error), error.field)])


def _not_newest(detail: str) -> Problem:
    return Problem(412, "not-newest", "The rules have changed", detail)
