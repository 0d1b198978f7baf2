"""A customer: history, attributes, and the recommendation last sent."""

import msgspec
from fastapi import APIRouter, Request, Response

from stream.api.access import Reader
from stream.api.documentation import answers
from stream.api.lookups import Basket, CustomerView, customer_view
from stream.api.paths import CUSTOMER
from stream.api.recommendations import CustomerId
from stream.api.services import Services

router = APIRouter(tags=["customers"])

_EXAMPLE = CustomerView(
    customer_id="12680",
    revision=1323435000250,
    attributes={"country": "France"},
    baskets=[Basket("581587", "2011-12-09T12:50:00Z", {"22613": 12.0})],
    sent=None,
    links={"self": "/v1/customers/12680", "recommendations": "/v1/customers/12680/recommendations"},
)


@router.get(
    CUSTOMER,
    summary="What is known of a customer",
    responses=answers(CustomerView, "The customer.", _EXAMPLE, not_found=True),
    response_class=Response,
)
async def customer(request: Request, caller: Reader, customer_id: CustomerId) -> Response:
    """The customer."""
    services: Services = request.app.state.services
    found: CustomerView = await services.lookups.ask(lambda shop: customer_view(customer_id, shop))
    return Response(msgspec.json.encode(found), media_type="application/json")
