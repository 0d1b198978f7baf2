"""The live feed: the newest recommendations, then each one as it is made."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from stream.api.bodies import MAX_CODE_CHARS
from stream.api.feed import Position, no_kafka
from stream.api.live import current_id, event_stream
from stream.api.pages.rendering import PageRoute, reader, render
from stream.api.services import Services

router = APIRouter(route_class=PageRoute, include_in_schema=False)

RECENT = 20
"""Recommendations of each partition that a page begins with."""


@router.get("/", response_class=Response)
async def live(request: Request) -> Response:
    """The page; the script asks for the events."""
    services: Services = request.app.state.services
    return render(request, "live.html", session=reader(request), has_feed=services.feed is not None)


@router.get("/live/stream", response_class=StreamingResponse)
async def stream(
    request: Request,
    customer: Annotated[str | None, Query(min_length=1, max_length=MAX_CODE_CHARS)] = None,
    last_event_id: Annotated[str | None, Header(max_length=10_000)] = None,
) -> StreamingResponse:
    """The events of ``/v1/recommendations/stream``, for a session."""
    services: Services = request.app.state.services
    reader(request)
    if services.feed is None:
        raise no_kafka()
    since = Position.parse(last_event_id) if last_event_id else services.feed.position_before_end(RECENT)
    return await event_stream(services.feed, await current_id(services, customer), since)
