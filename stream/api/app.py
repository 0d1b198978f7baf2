"""The ASGI application: routes, errors, middleware and the OpenAPI document."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from state.events.catalogue import item_event_schema
from state.events.rules import rules_schema
from state.events.schema import event_schema
from state.settings import Settings
from stream.api import customers, due, invoices, items, live, merchandising, probes, recommendations
from stream.api.bodies import BatchQuestion, ListQuestion
from stream.api.documentation import TEMPLATE, document
from stream.api.due_lists import DueAnswer, ItemDueAnswer
from stream.api.gate import Gate
from stream.api.ingestion import Receipt
from stream.api.lookups import CustomerView, ItemView
from stream.api.pages.routes import add_pages
from stream.api.problems import add_handlers
from stream.api.services import Services
from stream.api.similar import SimilarItems
from stream.api.tracing import TraceRequests
from stream.api.visits import VisitBatch, VisitRecommendation

ROUTERS = tuple(
    module.router for module in (live, recommendations, due, customers, items, merchandising, invoices, probes)
)
"""In this order: the path of a customer would match that of the customer's recommendations."""

ANSWERS = (
    VisitRecommendation,
    VisitBatch,
    ListQuestion,
    BatchQuestion,
    CustomerView,
    DueAnswer,
    ItemDueAnswer,
    ItemView,
    SimilarItems,
    Receipt,
)
"""The types that the OpenAPI document describes."""


def create_app(services: Services) -> FastAPI:
    """The application over some services."""
    app = FastAPI(
        title="nextbasket",
        version=version("nextbasket"),
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        # Its spans and logs would have the paths and queries of requests, and so the ids of customers.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.services = services
    for router in ROUTERS:
        app.include_router(router)
    add_pages(app, services.access)
    add_handlers(app)
    if services.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=services.settings.origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "If-None-Match", "If-Match", "Last-Event-ID"],
            expose_headers=["ETag", "Retry-After"],
        )
    app.add_middleware(
        Gate,
        max_body_bytes=services.settings.api_max_body_bytes,
        open_to_all=not len(services.access.keys),
        origins=services.settings.origins,
        metrics=services.metrics,
    )
    if services.tracing.is_on:
        app.add_middleware(TraceRequests, tracing=services.tracing)
    described: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not described:
            described.update(document(app, ROUTERS, ANSWERS, _schemas(services.settings)))
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it
    return app


def _schemas(settings: Settings) -> dict[str, Any]:
    """The schemas of what goes to topics, under the bounds of the settings, by name."""
    rules = rules_schema()
    parts = rules.pop("$defs", {})
    found = {invoices.EVENT: event_schema(settings), merchandising.ITEM_EVENT: item_event_schema(settings)}
    schemas: dict[str, Any] = _moved({**found, merchandising.RULES: rules, **parts})
    return schemas


def _moved(node: Any) -> Any:
    """A schema whose references lead to the components of the document."""
    if isinstance(node, list):
        return [_moved(each) for each in node]
    if not isinstance(node, dict):
        return node
    moved = {name: _moved(value) for name, value in node.items() if name != "$schema"}
    if isinstance(reference := node.get("$ref"), str):
        moved["$ref"] = TEMPLATE.format(name=reference.rpartition("/")[2])
    return moved
