"""Whether the process lives, and whether it can answer."""

import asyncio
import time

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from stream.api.services import Services

MAX_AGE_S = 1.0
"""A check connects to Redis, and this path needs no key: it is done once in this time, however often it is asked."""

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Whether the process answers")
async def live() -> JSONResponse:
    """200 while the event loop runs."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", summary="Whether requests can be answered", responses={503: {"description": "What is missing"}})
async def ready(request: Request) -> JSONResponse:
    """200, or 503 with what is missing by name."""
    services: Services = request.app.state.services
    state = request.app.state
    checked_at, missing = getattr(state, "readiness", (0.0, {}))
    if time.monotonic() - checked_at > MAX_AGE_S or checked_at == 0.0:
        missing = await asyncio.to_thread(services.health.missing)
        state.readiness = time.monotonic(), missing
    if missing:
        return JSONResponse({"status": "not ready", "missing": missing}, 503)
    return JSONResponse({"status": "ok"})
