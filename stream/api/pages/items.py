"""Items: an item's demand and who is due for it; the catalogue, with the preview of what a change does."""

import asyncio
import time
from itertools import islice
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Query, Request, Response

from state.domain.catalogue import Catalogue
from state.domain.rules import Merchandising
from state.errors import InvalidEvent
from state.events.catalogue import CatalogueDecoder, CatalogueItem
from stream.api.bodies import MAX_CODE_CHARS
from stream.api.due_lists import DueQuestion
from stream.api.keys import Scope
from stream.api.lookups import ItemView, ShopState, item_view
from stream.api.merchandising import READ_BACK_S, remove_item, set_item
from stream.api.pages.forms import read_form
from stream.api.pages.preview import Preview, preview
from stream.api.pages.rendering import PageRoute, link, number, reader, redirect, render
from stream.api.pages.sessions import Session
from stream.api.problems import Problem, invalid_request
from stream.api.services import Services
from stream.api.similar import SimilarItem, similar_items

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MAX_LISTED = 50
"""Items of the catalogue, or customers who are due for an item, that a page shows."""
PAGE_WAIT_S = 2.0
"""How long the page waits for who is due."""
DUE_DAYS = 7
"""The window of the customers who are due for an item."""

TEXTS = ("name", "category", "on_sale_from", "on_sale_until", "url", "image")
NUMBERS = ("price", "stock")
FIELDS = (
    ("name", "Name"),
    ("category", "Category (levels separated by >)"),
    ("price", "Price"),
    ("stock", "Stock (empty: not known)"),
    ("on_sale_from", "On sale from"),
    ("on_sale_until", "On sale until"),
    ("url", "Address of the page"),
    ("image", "Address of the picture"),
)

Code = Annotated[str | None, Query(max_length=MAX_CODE_CHARS)]


class _Item(NamedTuple):
    view: ItemView
    similar: list[SimilarItem]


@router.get("/items", response_class=Response)
async def items(request: Request, code: Code = None, find: Code = None) -> Response:
    """The catalogue, or an item."""
    services: Services = request.app.state.services
    session = reader(request)
    if not code or not code.strip():
        return _catalogue(request, session, (find or "").strip())
    return await _item_page(request, session, services.stock_code(code))


@router.post("/items", response_class=Response)
async def change_item(request: Request) -> Response:
    """Preview, save or delete the entry of an item in the catalogue; or preview what deleting it does."""
    services: Services = request.app.state.services
    session, fields = await read_form(request, Scope.READ)
    code = services.stock_code(fields.get("code", ""))
    if not code:
        raise invalid_request("code: the stock code is missing.")
    now = services.merchandising()
    action = fields.get("action", "preview")
    item: CatalogueItem | None = None
    if action not in ("delete", "preview-delete"):
        body = msgspec.json.encode(_event(code, fields, now.catalogue.get(code)))
        try:
            item = CatalogueDecoder(services.settings).decode(body, code.encode())
        except InvalidEvent as error:
            return await _item_page(request, session, code, status=400, fields=fields, wrong=str(error))
    if action in ("preview", "preview-delete"):
        after = Merchandising(now.catalogue.with_changes({code: item}), now.rules, now.unknown_stock, now.position)
        change = await preview(services, after)
        deleting = item is None
        return await _item_page(
            request, session, code, fields=None if deleting else fields, change=change, deleting=deleting
        )
    request.app.state.sessions.access.permit(session.caller, Scope.MERCHANDISE)
    if item is None:
        await remove_item(services, code)
        session.message = f"{code} is deleted from the catalogue."
    else:
        item = await set_item(services, code, body)
        session.message = f"{code} is saved."
    deadline = time.monotonic() + READ_BACK_S
    while services.merchandising().catalogue.get(code) != item:
        if time.monotonic() > deadline:
            session.message = f"Kafka has the change of {code}; this server does not obey it yet."
            break
        await asyncio.sleep(0.02)
    return redirect(link("/items", code=code))


def _catalogue(request: Request, session: Session, find: str) -> Response:
    services: Services = request.app.state.services
    catalogue: Catalogue = services.merchandising().catalogue
    wanted = find.casefold()
    matching = (
        item
        for code, item in catalogue.items()
        if wanted in f"{code} {item.name or ''} {' > '.join(item.category)}".casefold()
    )
    found = list(islice(matching, MAX_LISTED + 1))
    return render(
        request,
        "items.html",
        session=session,
        find=find,
        items=found[:MAX_LISTED],
        more=len(found) > MAX_LISTED,
        total=len(catalogue),
    )


async def _item_page(
    request: Request,
    session: Session,
    code: str,
    *,
    status: int = 200,
    fields: dict[str, str] | None = None,
    wrong: str | None = None,
    change: Preview | None = None,
    deleting: bool = False,
) -> Response:
    services: Services = request.app.state.services
    merchandising, scorer = services.merchandising(), services.scorer()

    def look(shop: ShopState) -> _Item:
        view = item_view(code, shop, merchandising, clock=int(time.time()))
        try:
            similar = similar_items(code, 10, scorer, shop, merchandising, clock=int(time.time())).items
        except Problem:  # the model knows of no similarity, or the item was never sold
            similar = []
        return _Item(view, similar)

    try:
        found: _Item | None = await services.lookups.ask(look)
    except Problem as problem:
        if problem.status != 404:
            raise
        found, status = None, max(status, 404 if fields is None else status)
    due, wait = None, None
    if found is not None:
        try:
            due = (
                await services.due.ask(DueQuestion(DUE_DAYS, MAX_LISTED, stock_code=code, wait_s=PAGE_WAIT_S))
            ).answer
        except Problem as problem:  # the numbers of all customers are being read; the rest of the page does not wait
            wait = problem.details.detail
    entry = merchandising.catalogue.get(code)
    return render(
        request,
        "item.html",
        status,
        session,
        code=code,
        item=found.view if found else None,
        similar=found.similar if found else [],
        due=due,
        wait=wait,
        entry=entry,
        names=FIELDS,
        fields=fields
        if fields is not None
        else _fields(found.view.catalogue if found and found.view.catalogue else {}),
        wrong=wrong,
        change=change,
        deleting=deleting,
        unknown_stock=merchandising.unknown_stock,
    )


def _fields(event: dict[str, Any]) -> dict[str, str]:
    """The fields of the form, from an event."""
    shown = {name: str(event[name]) for name in TEXTS if event.get(name) is not None}
    shown |= {name: number(event[name]) for name in NUMBERS if event.get(name) is not None}
    if isinstance(event.get("category"), list):
        shown["category"] = " > ".join(event["category"])
    if event.get("blocked"):
        shown["blocked"] = "on"
    return shown


def _event(code: str, fields: dict[str, str], entry: CatalogueItem | None) -> dict[str, Any]:
    """The event of a form; what the form does not have stays as it is."""
    event: dict[str, Any] = {"stock_code": code}
    for name in TEXTS:
        if value := fields.get(name, "").strip():
            event[name] = value
    for name in NUMBERS:
        if value := fields.get(name, "").strip():
            try:
                event[name] = float(value)
            except ValueError:
                event[name] = value  # the decoder reports what it must be
    if fields.get("blocked"):
        event["blocked"] = True
    if entry is not None and entry.attributes:
        event["attributes"] = dict(entry.attributes)
    return event
