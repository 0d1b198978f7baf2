"""All routes of the page."""

from fastapi import FastAPI

from stream.api.access import Access
from stream.api.pages import customers, dead_letters, health, items, live, models, rules, sign_in, static_files
from stream.api.pages.sessions import Sessions

ROUTERS = tuple(
    module.router for module in (live, customers, items, rules, models, dead_letters, health, sign_in, static_files)
)


def add_pages(app: FastAPI, access: Access) -> None:
    """Serve the page with an application."""
    app.state.sessions = Sessions(access)
    for router in ROUTERS:
        app.include_router(router)
