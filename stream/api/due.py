"""The customers who are likely to buy soon."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from state.domain.due import DueCustomer
from state.domain.recommendation import Item, ModelVersion, Reason
from state.events.dates import parse_date
from stream.api.access import Reader
from stream.api.bodies import MAX_CODE_CHARS, StockCode
from stream.api.documentation import answers
from stream.api.due_lists import MAX_DEPTH, WAIT_S, DueAnswer, DueQuestion, ItemDueAnswer, ItemDueCustomer, TaggedAnswer
from stream.api.etags import CACHE_CONTROL
from stream.api.paths import ITEM
from stream.api.problems import invalid_request
from stream.api.services import Services
from stream.api.visits import MAX_LIMIT
from training.serving.scorer import HORIZONS

router = APIRouter(tags=["customers"])

_EXAMPLE = DueAnswer(
    at="2011-12-09T12:50:00Z",
    within_days=7,
    matching=4_334,
    customers=[
        DueCustomer(
            due_id="5d0d3f1b7a94c2e8b6a1f043",
            customer_id="12681",
            at="2011-12-09T12:50:00Z",
            within_days=7,
            valid_until="2011-12-16T12:50:00Z",
            chance=0.6845,
            due_date="2011-12-14",
            last_purchase="2011-11-25T11:33:00Z",
            days_since=14,
            purchases=22,
            basket_value=550.48,
            expected_value=376.8,
            model=ModelVersion("basket_lstm", "2011-12-09T13-00-00Z"),
            items=[
                Item(
                    "23084",
                    "RABBIT NIGHT LIGHT",
                    0.592895,
                    "replenish",
                    Reason("bought_regularly", {"times": 5, "last": "2011-11-25T11:33:00Z"}),
                )
            ],
            attributes={"country": "France"},
        )
    ],
)

_ITEM_EXAMPLE = ItemDueAnswer(
    stock_code="23084",
    at="2011-12-09T12:50:00Z",
    within_days=7,
    matching=312,
    customers=[ItemDueCustomer("12681", 0.6845, 0.592895, 0.405837, "2011-12-14", "2011-11-25T11:33:00Z")],
)


class DueParameters(BaseModel):
    """The parameters of a list of who is due. An unknown one is refused."""

    model_config = ConfigDict(extra="forbid")

    within: Annotated[int, Field(ge=1, le=HORIZONS[-1], description="Length of the window in days.")] = 7
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Customers.")] = 20
    offset: Annotated[
        int, Field(ge=0, le=MAX_DEPTH - MAX_LIMIT, description="Customers before the first one of the page.")
    ] = 0
    min_chance: Annotated[
        float, Field(ge=0.0, le=1.0, description="Lowest chance of a purchase within the window.")
    ] = 0.0
    at: Annotated[
        str | None,
        Field(max_length=40, description="Begin of the window, not before the newest event. Default: its date."),
    ] = None
    segment: Annotated[
        list[Annotated[str, Field(max_length=MAX_CODE_CHARS, pattern=r"^[^:]+:.+$")]],
        Field(
            max_length=32,
            description="Only customers with this attribute, as key:value; may be repeated. Of several values of one "
            "key one suffices.",
        ),
    ] = []


class ItemDueParameters(BaseModel):
    """The parameters of a list of who is due for an item. An unknown one is refused."""

    model_config = ConfigDict(extra="forbid")

    within: Annotated[int, Field(ge=1, le=HORIZONS[-1], description="Length of the window in days.")] = 7
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Customers.")] = 20


_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Nothing that the list depends on has changed since the entity tag in If-None-Match."}
}


@router.get(
    "/v1/due",
    summary="Who is likely to buy soon, given that they have not come since",
    responses=answers(DueAnswer, "The customers by falling expected value.", _EXAMPLE) | _UNCHANGED,
    response_class=Response,
)
async def due(request: Request, caller: Reader, parameters: Annotated[DueParameters, Query()]) -> Response:
    """A page of the customers."""
    services: Services = request.app.state.services
    at = None
    if parameters.at is not None:
        at = parse_date(parameters.at, ZoneInfo(services.settings.timezone))
        if at is None:
            raise invalid_request(f"at: {parameters.at!r} is no date with a time, such as 2011-12-09T12:50:00Z.")
    segment: dict[str, frozenset[str]] = {}
    for condition in parameters.segment:
        key, value = condition.split(":", 1)
        segment[key] = segment.get(key, frozenset()) | {value}
    question = DueQuestion(
        parameters.within,
        parameters.limit,
        parameters.min_chance,
        segment,
        at,
        offset=parameters.offset,
        none_match=_known(request),
        wait_s=WAIT_S,
    )
    return _response(await services.due.ask(question))


@router.get(
    f"{ITEM}/due",
    summary="Who is likely to come soon and buy an item",
    responses=answers(ItemDueAnswer, "The customers by the chance that they come and buy it.", _ITEM_EXAMPLE)
    | _UNCHANGED,
    response_class=Response,
)
async def item_due(
    request: Request, caller: Reader, stock_code: StockCode, parameters: Annotated[ItemDueParameters, Query()]
) -> Response:
    """The customers."""
    services: Services = request.app.state.services
    code = services.stock_code(stock_code)
    question = DueQuestion(
        parameters.within, parameters.limit, stock_code=code, none_match=_known(request), wait_s=WAIT_S
    )
    return _response(await services.due.ask(question))


def _known(request: Request) -> str | None:
    return request.headers.get("If-None-Match")


def _response(made: TaggedAnswer) -> Response:
    headers = {"ETag": made.tag, "Cache-Control": CACHE_CONTROL, "Vary": "Authorization, X-API-Key"}
    if made.answer is None:
        return Response(status_code=304, headers=headers)
    return Response(msgspec.json.encode(made.answer), headers=headers, media_type="application/json")
