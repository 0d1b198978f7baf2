"""Health: what is missing, the lag of the workers, latency by stage, outages, versions."""

import asyncio
import math
import platform

from fastapi import APIRouter, Request, Response

from state.errors import StateError
from stream.api.figures import fetch_figures, process_figures
from stream.api.pages.rendering import PageRoute, reader, render
from stream.api.problems import Problem
from stream.api.services import Services
from stream.errors import StreamError
from stream.tools.refresh_status import describe, refresh_status

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/health", response_class=Response)
async def health(request: Request) -> Response:
    """The state of this server and of the workers that it can ask."""
    services: Services = request.app.state.services
    session = reader(request)
    missing, lag, refresh, *workers = await asyncio.gather(
        asyncio.to_thread(services.health.missing),
        asyncio.to_thread(_lag, services),
        asyncio.to_thread(_refresh, services),
        *(asyncio.to_thread(fetch_figures, address) for address in services.settings.worker_metrics),
    )
    try:
        merchandising = services.merchandising()
    except Problem:
        merchandising = None
    return render(
        request,
        "health.html",
        session=session,
        missing=missing,
        lag=lag,
        refresh=refresh,
        server=process_figures("This server", services.metrics.registry),
        workers=workers,
        serving=services.scorer(),
        merchandising=merchandising,
        python=platform.python_version(),
        bound=describe_bound,
    )


def _lag(services: Services) -> dict[int, int] | str:
    """The lag by partition, or why it is not known."""
    if services.lag is None:
        return "No Kafka is set for this server."
    try:
        return services.lag()
    except StreamError as error:
        return str(error)


def _refresh(services: Services) -> list[str]:
    """How far the refresh of recommendations is, in sentences."""
    try:
        return describe(refresh_status(services.refresh()))
    except StateError as error:
        return [str(error)]


def describe_bound(seconds: float) -> str:
    """A bound of a latency in words."""
    if math.isinf(seconds):
        return "over 60 s"
    return f"≤ {seconds * 1_000:g} ms" if seconds < 1 else f"≤ {seconds:g} s"
