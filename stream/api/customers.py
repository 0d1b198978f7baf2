"""A customer: history, attributes, and the recommendation last sent; and the order to erase one."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from state.errors import InvalidEvent
from state.events.customer_changes import CustomerErased, encode_change
from state.events.wire import Decoder
from stream.api.access import Administrator, Reader
from stream.api.documentation import USUAL, answers, problem_answers
from stream.api.lookups import Basket, CustomerView, customer_view
from stream.api.paths import CUSTOMER
from stream.api.problems import Problem, invalid_request
from stream.api.recommendations import CustomerId
from stream.api.services import Services
from stream.messages import Message
from stream.pipeline.erasure import NO_KEY

router = APIRouter(tags=["customers"])

_EXAMPLE = CustomerView(
    customer_id="12680",
    revision=1323435000250,
    attributes={"country": "France"},
    baskets=[Basket("581587", "2011-12-09T12:50:00Z", {"22613": 12.0})],
    sent=None,
    links={"self": "/v1/customers/12680", "recommendations": "/v1/customers/12680/recommendations"},
)


_ORDERED: dict[int | str, Any] = {202: {"description": "Kafka has confirmed the order; a worker carries it out."}}


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


@router.delete(
    CUSTOMER,
    status_code=202,
    summary="Erase a customer",
    responses=_ORDERED | problem_answers((*USUAL, 409)),
    response_class=Response,
)
async def erase(request: Request, caller: Administrator, customer_id: CustomerId) -> Response:
    """Order the erasure of a customer, under all ids. The receipt is on the topic of customers once it is done."""
    services: Services = request.app.state.services
    if not services.can_erase:
        raise Problem(409, "no-erasure-key", "No erasure key is set", NO_KEY)
    try:
        canonical = Decoder(services.settings).customer_id(customer_id)
    except InvalidEvent as error:
        raise invalid_request(str(error)) from None
    event = encode_change(CustomerErased(canonical))
    await services.ingestion.ask((Message(services.settings.topics.invoices, canonical.encode(), event),))
    return Response(status_code=202)
