"""An item, and items similar to it."""

import time
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from state.domain.recommendation import ModelVersion
from stream.api.access import Reader
from stream.api.bodies import StockCode
from stream.api.documentation import answers
from stream.api.lookups import ItemView, item_view
from stream.api.paths import ITEM
from stream.api.services import Services
from stream.api.similar import SimilarItem, SimilarItems, similar_items
from stream.api.visits import MAX_LIMIT

router = APIRouter(tags=["items"])

_EXAMPLE = ItemView(
    stock_code="22613",
    description="PACK OF 20 SPACEBOY NAPKINS",
    price=0.85,
    first_sold="2010-12-01T09:34:00Z",
    last_sold="2011-12-09T12:50:00Z",
    baskets=310,
    demand={"1": 1.2, "3": 3.1, "7": 6.8, "14": 12.0, "21": 16.4, "30": 21.1},
    attributes={},
    catalogue=None,
    unavailable=None,
    links={"self": "/v1/items/22613", "similar": "/v1/items/22613/similar"},
)
_SIMILAR = SimilarItems(
    "22613",
    "bought_together",
    ModelVersion("basket_lstm", "2011-12-09T13-00-00Z"),
    [SimilarItem("22616", "PACK OF 12 LONDON TISSUES", 0.0731)],
)


class SimilarParameters(BaseModel):
    """The parameters of similar items. An unknown one is refused."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Items.")] = 10


@router.get(
    f"{ITEM}/similar",
    summary="Items similar to one, by the model that serves",
    responses=answers(SimilarItems, "The items, most similar first.", _SIMILAR, not_found=True),
    response_class=Response,
)
async def similar(
    request: Request, caller: Reader, stock_code: StockCode, parameters: Annotated[SimilarParameters, Query()]
) -> Response:
    """The similar items."""
    services: Services = request.app.state.services
    scorer, code = services.scorer(), services.stock_code(stock_code)
    merchandising, clock = services.merchandising(), int(time.time())
    found: SimilarItems = await services.lookups.ask(
        lambda shop: similar_items(code, parameters.limit, scorer, shop, merchandising, clock=clock)
    )
    return Response(msgspec.json.encode(found), media_type="application/json")


@router.get(
    ITEM,
    summary="What is known of an item",
    responses=answers(ItemView, "The item.", _EXAMPLE, not_found=True),
    response_class=Response,
)
async def item(request: Request, caller: Reader, stock_code: StockCode) -> Response:
    """The item."""
    services: Services = request.app.state.services
    code, merchandising = services.stock_code(stock_code), services.merchandising()
    found: ItemView = await services.lookups.ask(
        lambda shop: item_view(code, shop, merchandising, clock=int(time.time()))
    )
    return Response(msgspec.json.encode(found), media_type="application/json")
