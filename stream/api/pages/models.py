"""Models: the versions in the registry with their figures; promote and roll back."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from stream.api.keys import Scope
from stream.api.pages.forms import read_form
from stream.api.pages.rendering import PageRoute, reader, redirect, render
from stream.api.problems import invalid_request
from stream.api.services import Services
from stream.tools.model_versions import model_versions
from training.registry import NothingToRollBack, UnknownVersion

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/models", response_class=Response)
async def models(request: Request) -> Response:
    """The versions, newest first."""
    services: Services = request.app.state.services
    session = reader(request)
    versions = await asyncio.to_thread(model_versions, services.registry)
    history = await asyncio.to_thread(services.registry.history)
    return render(
        request,
        "models.html",
        session=session,
        versions=versions[::-1],
        moves=history[:-21:-1],
        can_roll_back=bool(history) and history[-1].back_to is not None,
        serving=services.scorer(),
    )


@router.post("/models/promote", response_class=Response)
async def promote(request: Request) -> Response:
    """Promote a version."""
    services: Services = request.app.state.services
    session, fields = await read_form(request, Scope.ADMIN)
    version = fields.get("version", "")
    try:
        await asyncio.to_thread(lambda: services.registry.promote(version, at=datetime.now(UTC)))
    except UnknownVersion as error:
        raise invalid_request(str(error)) from None
    session.message = f"{version} is promoted. Every worker and server loads it within seconds."
    return redirect("/models")


@router.post("/models/rollback", response_class=Response)
async def roll_back(request: Request) -> Response:
    """Promote the version that served before."""
    services: Services = request.app.state.services
    session, _ = await read_form(request, Scope.ADMIN)
    try:
        version = await asyncio.to_thread(lambda: services.registry.rollback(at=datetime.now(UTC)))
    except NothingToRollBack as error:
        raise invalid_request(str(error)) from None
    session.message = f"Rolled back: {version} is promoted. Every worker and server loads it within seconds."
    return redirect("/models")
