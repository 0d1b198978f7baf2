"""Invoices into Kafka."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from stream.api.access import Ingester
from stream.api.bodies import JSON, request_body, require_json
from stream.api.documentation import TEMPLATE, USUAL, problem_answers, reference
from stream.api.ingestion import InvoiceBody, Receipt
from stream.api.services import Services
from stream.api.tracing import trace_of

router = APIRouter(tags=["invoices"])

EVENT = "InvoiceEvent"
"""Name of the event's schema in the OpenAPI document."""

_EVENT = {"$ref": TEMPLATE.format(name=EVENT)}
_BODY = {"oneOf": [_EVENT, {"type": "array", "minItems": 1, "items": _EVENT}]}
_EXAMPLE: dict[str, Any] = {
    "invoice_no": "581587",
    "customer_id": "12680",
    "invoice_date": "2011-12-09T12:50:00Z",
    "country": "France",
    "lines": [
        {"stock_code": "22613", "description": "PACK OF 20 SPACEBOY NAPKINS", "quantity": 12, "unit_price": 0.85}
    ],
}
_ANSWERS: dict[int | str, Any] = {
    202: {
        "description": "Kafka has confirmed every event.",
        "content": {JSON: {"schema": reference(Receipt), "example": msgspec.to_builtins(Receipt(1, 0, {}))}},
    }
}


@router.post(
    "/v1/invoices",
    status_code=202,
    summary="Send one invoice or a list of them, in either shape",
    responses=_ANSWERS | problem_answers((*USUAL, 408, 413, 415)),
    response_class=Response,
    openapi_extra=request_body(_BODY, _EXAMPLE),
)
async def send(request: Request, caller: Ingester) -> Response:
    """202 once Kafka has confirmed. Nothing is sent where one event is invalid. May be sent again at any time.

    Readers see all events of a list or none. ``traceparent`` and ``tracestate`` go on into the records.
    """
    services: Services = request.app.state.services
    require_json(request)
    receipt = await services.ingestion.ask(InvoiceBody(await request.body(), trace_of(request.scope)))
    return Response(msgspec.json.encode(receipt), 202, media_type=JSON)
