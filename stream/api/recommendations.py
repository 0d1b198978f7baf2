"""Recommendations for a visit, of a customer or of an anonymous visitor."""

import asyncio
from datetime import tzinfo
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from state.domain.recommendation import Item, ModelVersion, NextPurchase, Reason
from state.errors import CustomerRefused
from state.events.attributes import COUNTRY, clean_attributes
from state.events.dates import parse_date
from stream.api.access import Reader
from stream.api.bodies import (
    JSON,
    MAX_CODE_CHARS,
    BatchQuestion,
    ListQuestion,
    read_body,
    request_body,
)
from stream.api.documentation import answers, reference
from stream.api.etags import CACHE_CONTROL, etag, matches
from stream.api.keys import Scope
from stream.api.paths import CUSTOMER
from stream.api.problems import invalid_request
from stream.api.services import Services
from stream.api.visits import (
    MAX_EXCLUDED,
    MAX_LIMIT,
    CustomerProblem,
    Slot,
    VisitBatch,
    VisitLinks,
    VisitQuery,
    VisitRecommendation,
)

router = APIRouter(tags=["recommendations"])

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
    cart=None,
    rules=None,
    links=VisitLinks("/v1/customers/12680/recommendations", "/v1/customers/12680"),
)


ANONYMOUS = msgspec.structs.replace(
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

    def question(self) -> ListQuestion:
        """The question that the parameters ask."""
        return ListQuestion(
            limit=self.limit,
            slot=self.slot,
            category=self.category,
            exclude=self.exclude,
            at=self.at,
            country=self.country,
            attributes=dict(each.split(":", 1) for each in self.attribute),
        )


Parameters = Annotated[ListParameters, Query()]


@router.get(
    f"{CUSTOMER}/recommendations",
    summary="Rank for a visit of a customer now",
    responses=answers(VisitRecommendation, "The list; for an unknown customer the items in demand.", EXAMPLE)
    | {304: {"description": "Nothing that the list depends on has changed since the entity tag in If-None-Match."}},
    response_class=Response,
)
async def of_customer(request: Request, caller: Reader, customer_id: CustomerId, parameters: Parameters) -> Response:
    """The list, or 304."""
    return await answer(request, customer_id, parameters.question())


@router.get(
    "/v1/recommendations",
    summary="Rank for an anonymous visitor",
    responses=answers(
        VisitRecommendation,
        "The items in demand.",
        ANONYMOUS,
    ),
    response_class=Response,
)
async def of_anonymous(request: Request, caller: Reader, parameters: Parameters) -> Response:
    """The list, or 304."""
    return await answer(request, None, parameters.question())


_CART_EXAMPLE = {"cart": ["22086", "22613"], "limit": 5, "country": "France"}


@router.post(
    f"{CUSTOMER}/recommendations",
    summary="Rank for a visit of a customer with a cart",
    responses=answers(VisitRecommendation, "The list, without what is in the cart.", EXAMPLE, body=True),
    response_class=Response,
    openapi_extra=request_body(reference(ListQuestion), _CART_EXAMPLE),
)
async def of_customer_with_cart(request: Request, caller: Reader, customer_id: CustomerId) -> Response:
    """The list."""
    return await answer(request, customer_id, await read_body(request, ListQuestion))


@router.post(
    "/v1/recommendations",
    summary="Rank for an anonymous visitor with a cart",
    responses=answers(VisitRecommendation, "The list, without what is in the cart.", ANONYMOUS, body=True),
    response_class=Response,
    openapi_extra=request_body(reference(ListQuestion), _CART_EXAMPLE),
)
async def of_anonymous_with_cart(request: Request, caller: Reader) -> Response:
    """The list."""
    return await answer(request, None, await read_body(request, ListQuestion))


@router.post(
    "/v1/recommendations/batch",
    summary="Rank for several customers",
    responses=answers(VisitBatch, "A list for each customer, in order.", VisitBatch([EXAMPLE], []), body=True),
    response_class=Response,
    openapi_extra=request_body(reference(BatchQuestion), {"customers": ["12680", "12681"], "limit": 5}),
)
async def of_customers(request: Request, caller: Reader) -> Response:
    """The lists. A customer whose data cannot be read is among ``problems``; the others have their lists."""
    services: Services = request.app.state.services
    question = await read_body(request, BatchQuestion)
    customers = list(dict.fromkeys(question.customers))
    services.access.permit(caller, Scope.READ, len(customers) - 1)  # the first is the request, which is counted
    queries = [visit_query(services, customer_id, question) for customer_id in customers]
    found = await asyncio.gather(*map(services.ranking.ask, queries), return_exceptions=True)
    lists: list[VisitRecommendation] = []
    refused: list[CustomerProblem] = []
    for query, each in zip(queries, found, strict=True):
        if isinstance(each, CustomerRefused):
            refused.append(CustomerProblem(str(query.customer_id), str(each)))
        elif isinstance(each, BaseException):
            raise each
        else:
            lists.append(each.recommendation)
    return Response(msgspec.json.encode(VisitBatch(lists, refused)), 200, media_type=JSON)


async def answer(request: Request, customer_id: str | None, question: ListQuestion) -> Response:
    """Answer a question for a list with 200 or 304."""
    services: Services = request.app.state.services
    query = visit_query(services, customer_id, question)
    known = request.headers.get("if-none-match") if request.method == "GET" else None
    if known is not None:
        revision = 0 if customer_id is None else await services.revisions.ask(customer_id)
        tag = etag(query, revision, services.versions())
        if matches(known, tag):
            return Response(status_code=304, headers=_headers(tag))
    ranked = await services.ranking.ask(query)
    tag = etag(query, ranked.recommendation.revision, ranked.versions)
    return Response(msgspec.json.encode(ranked.recommendation), 200, _headers(tag), JSON)


def visit_query(services: Services, customer_id: str | None, question: ListQuestion) -> VisitQuery:
    """The query of a question.

    Raises:
        Problem: A date is none.
    """
    settings, code = services.settings, services.stock_code
    attributes: dict[str, Any] = dict(question.attributes)
    if question.country is not None:
        attributes[COUNTRY] = question.country
    return VisitQuery(
        customer_id=customer_id,
        limit=question.limit or settings.top_k,
        slot=question.slot,
        category=question.category,
        exclude=tuple(sorted({code(each) for each in question.exclude})),
        at=None if question.at is None else _date(question.at, _zone(settings.timezone)),
        attributes=clean_attributes(attributes.items()),
        cart=tuple(sorted({code(each) for each in question.cart})),
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
