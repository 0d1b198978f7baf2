"""Live recommendations as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from state.errors import StateError
from stream.api.access import Reader
from stream.api.bodies import MAX_CODE_CHARS
from stream.api.documentation import problem_answers
from stream.api.feed import Feed, FeedEvent, Position, no_kafka
from stream.api.problems import Problem
from stream.api.services import Services

router = APIRouter(tags=["recommendations"])

HEARTBEAT_S = 15.0
"""A stream is never silent for longer, so that proxies keep it and a lost connection is noticed."""
RETRY_MS = 2_000

_HEADERS = {"X-Accel-Buffering": "no"}  # or nginx would collect events
_EXAMPLE = 'id: 0:1041,1:998\nevent: recommendation\ndata: {"rec_id":"5d0d…","customer_id":"12680",…}\n\n'

_ANSWERS: dict[int | str, Any] = {
    200: {
        "description": "Events `recommendation` (the message of the topic) and `deleted`. Their id is a position: "
        "sent back as Last-Event-ID, the stream goes on after it.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


class StreamParameters(BaseModel):
    """The parameters of a stream. An unknown one is refused."""

    model_config = ConfigDict(extra="forbid")

    customer: Annotated[
        str | None, Field(min_length=1, max_length=MAX_CODE_CHARS, description="Only this customer. Default: all.")
    ] = None


@router.get(
    "/v1/recommendations/stream",
    summary="Live recommendations as server-sent events",
    responses=_ANSWERS | problem_answers(),
    response_class=StreamingResponse,
)
async def stream(
    request: Request,
    caller: Reader,
    parameters: Annotated[StreamParameters, Query()],
    last_event_id: Annotated[str | None, Header(max_length=10_000, description="The id of the last event.")] = None,
) -> StreamingResponse:
    """A stream until the client goes or the server ends."""
    services: Services = request.app.state.services
    if services.feed is None:
        raise no_kafka()
    since = Position.parse(last_event_id) if last_event_id else None
    return await event_stream(services.feed, await current_id(services, parameters.customer), since)


async def current_id(services: Services, customer_id: str | None) -> str | None:
    """The id under which a customer's recommendations are sent; the same one where Redis does not answer."""
    if customer_id is None:
        return None
    try:
        found: list[str] = await services.lookups.ask(lambda shop: shop.store.current_ids([customer_id]))
    except (StateError, Problem):
        return customer_id
    return found[0]


async def event_stream(feed: Feed, customer_id: str | None, since: Position | None) -> StreamingResponse:
    """The response with the events from a position on, by default from now.

    Raises:
        Problem: There are too many streams, or Kafka does not answer.
    """
    events = feed.events(customer_id, since, HEARTBEAT_S)
    # The first value comes at once, or a problem that can still be a response.
    _, position = await anext(events)
    begin = f"retry: {RETRY_MS}\nid: {since or position}\n\n".encode()
    return StreamingResponse(_text(begin, events), media_type="text/event-stream", headers=_HEADERS)


async def _text(begin: bytes, events: AsyncIterator[tuple[FeedEvent | None, Position]]) -> AsyncIterator[bytes]:
    yield begin
    async for event, position in events:
        yield event_text(event, position)


def event_text(event: FeedEvent | None, position: Position) -> bytes:
    """An event as server-sent text; None: a comment, with the position for the next Last-Event-ID."""
    if event is None:
        return f": nothing new\nid: {position}\n\n".encode()
    if event.value is None:
        name, value = "deleted", msgspec.json.encode({"customer_id": event.customer_id})
    else:
        name, value = "recommendation", event.value
    lines = b"".join(b"data: " + line + b"\n" for line in value.splitlines() or [b""])
    return f"id: {position}\nevent: {name}\n".encode() + lines + b"\n"
