"""Whether the process lives, and whether it can answer."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from stream.api.services import Services

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Whether the process answers")
async def live() -> JSONResponse:
    """200 while the event loop runs."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", summary="Whether requests can be answered", responses={503: {"description": "What is missing"}})
async def ready(request: Request) -> JSONResponse:
    """200, or 503 with what is missing by name."""
    services: Services = request.app.state.services
    missing = await asyncio.to_thread(services.health.missing)
    if missing:
        return JSONResponse({"status": "not ready", "missing": missing}, 503)
    return JSONResponse({"status": "ok"})
