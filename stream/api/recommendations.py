"""Recommendations for a visit, of a customer or of an anonymous visitor."""

from datetime import tzinfo
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from state.domain.recommendation import Item, ModelVersion, NextPurchase, Reason
from state.events.attributes import COUNTRY, clean_attributes
from state.events.dates import parse_date
from stream.api.access import Reader
from stream.api.documentation import answers
from stream.api.etags import etag, matches
from stream.api.problems import invalid_request
from stream.api.services import Services
from stream.api.visits import MAX_EXCLUDED, MAX_LIMIT, Slot, VisitLinks, VisitQuery, VisitRecommendation

router = APIRouter(tags=["recommendations"])

MAX_CODE_CHARS = 1_000
"""Of an id in a path or a parameter; settings bound those of events more narrowly."""

CACHE_CONTROL = "private, no-cache"
"""A cache asks again each time; the entity tag makes that cheap."""

CustomerId = Annotated[
    str,
    Path(min_length=1, max_length=MAX_CODE_CHARS, description="The customer id, as in the events.", examples=["12680"]),
]

EXAMPLE = VisitRecommendation(
    rec_id="5d0d5a0b7b0c4c0f9a3d2e11",
    customer_id="12680",
    revision=1323435000250,
    fallback=None,
    at="2011-12-09T12:50:00Z",
    generated_at="2011-12-09T12:50:03Z",
    valid_until="2012-01-08T12:50:00Z",
    model=ModelVersion("basket_lstm", "2011-12-09T13-00-00Z"),
    next_purchase=NextPurchase(
        {"7": 0.21, "14": 0.35, "30": 0.58, "60": 0.77, "90": 0.86}, "2011-12-12", "2012-01-03", None
    ),
    items=[
        Item(
            "22613",
            "PACK OF 20 SPACEBOY NAPKINS",
            0.2143,
            "replenish",
            Reason("bought_regularly", {"times": 4, "last": "2011-11-18T10:24:00Z"}),
        )
    ],
    links=VisitLinks("/v1/customers/12680/recommendations", "/v1/customers/12680"),
)


class ListParameters(BaseModel):
    """The parameters of a list. An unknown one is refused."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int | None, Field(ge=1, le=MAX_LIMIT, description="Items. Default: NEXTBASKET_TOP_K.")] = None
    slot: Annotated[
        Slot | None, Field(description="Only items bought before (replenish), or never bought (discover).")
    ] = None
    category: Annotated[
        str | None, Field(min_length=1, max_length=MAX_CODE_CHARS, description="Only items of this category.")
    ] = None
    exclude: Annotated[
        list[Annotated[str, Field(max_length=MAX_CODE_CHARS)]],
        Field(max_length=MAX_EXCLUDED, description="Stock codes not to offer; may be repeated."),
    ] = []
    at: Annotated[
        str | None,
        Field(
            max_length=40,
            description="Time of the visit, such as 2011-12-09T12:50:00Z. Default: that of the newest event.",
        ),
    ] = None
    country: Annotated[
        str | None, Field(max_length=MAX_CODE_CHARS, description="Of a visitor without history: what sells there.")
    ] = None
    attribute: Annotated[
        list[Annotated[str, Field(max_length=MAX_CODE_CHARS, pattern=r"^[^:]+:.+$")]],
        Field(max_length=32, description="Of a visitor without history, as key:value; may be repeated."),
    ] = []


Parameters = Annotated[ListParameters, Query()]


@router.get(
    "/v1/customers/{customer_id:path}/recommendations",
    summary="Rank for a visit of a customer now",
    responses=answers(VisitRecommendation, "The list; for an unknown customer the items in demand.", EXAMPLE)
    | {304: {"description": "Nothing that the list depends on has changed since the entity tag in If-None-Match."}},
    response_class=Response,
)
async def of_customer(request: Request, caller: Reader, customer_id: CustomerId, parameters: Parameters) -> Response:
    """The list, or 304."""
    return await recommend(request, customer_id, parameters)


@router.get(
    "/v1/recommendations",
    summary="Rank for an anonymous visitor",
    responses=answers(
        VisitRecommendation,
        "The items in demand.",
        msgspec.structs.replace(
            EXAMPLE,
            customer_id=None,
            revision=0,
            fallback="anonymous",
            next_purchase=None,
            items=[
                Item(
                    "22086",
                    "PAPER CHAIN KIT 50'S CHRISTMAS",
                    0.051,
                    "discover",
                    Reason("in_demand", {"baskets": 41.3, "half_life_days": 7}),
                )
            ],
            links=VisitLinks("/v1/recommendations"),
        ),
    ),
    response_class=Response,
)
async def of_anonymous(request: Request, caller: Reader, parameters: Parameters) -> Response:
    """The list, or 304."""
    return await recommend(request, None, parameters)


async def recommend(request: Request, customer_id: str | None, parameters: ListParameters) -> Response:
    """Answer a question for a list with 200 or 304."""
    services: Services = request.app.state.services
    query = visit_query(services, customer_id, parameters)
    known = request.headers.get("if-none-match")
    if known is not None:
        revision = 0 if customer_id is None else await services.revisions.ask(customer_id)
        tag = etag(query, revision, services.versions())
        if matches(known, tag):
            return Response(status_code=304, headers=_headers(tag))
    ranked = await services.ranking.ask(query)
    tag = etag(query, ranked.recommendation.revision, ranked.versions)
    return Response(msgspec.json.encode(ranked.recommendation), 200, _headers(tag), "application/json")


def visit_query(services: Services, customer_id: str | None, parameters: ListParameters) -> VisitQuery:
    """The query of some parameters.

    Raises:
        Problem: A date is none.
    """
    settings = services.settings
    attributes: dict[str, Any] = dict(each.split(":", 1) for each in parameters.attribute)
    if parameters.country is not None:
        attributes[COUNTRY] = parameters.country
    return VisitQuery(
        customer_id=customer_id,
        limit=parameters.limit or settings.top_k,
        slot=parameters.slot,
        category=parameters.category,
        exclude=tuple(sorted(set(parameters.exclude))),
        at=None if parameters.at is None else _date(parameters.at, _zone(settings.timezone)),
        attributes=clean_attributes(attributes.items()),
    )


def _headers(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": CACHE_CONTROL, "Vary": "Authorization, X-API-Key"}


@lru_cache
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)


def _date(text: str, zone: tzinfo) -> int:
    seconds = parse_date(text, zone)
    if seconds is None:
        raise invalid_request(f"at: {text!r} is no date with a time, such as 2011-12-09T12:50:00Z.")
    return seconds
