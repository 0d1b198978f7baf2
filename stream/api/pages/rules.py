"""Rules: those in force, a draft with the preview of what it does, and saving it."""

from typing import Any, get_args

import msgspec
from fastapi import APIRouter, Request, Response

from state.domain.rules import CompiledRules, Merchandising, missing_from, replace_version
from state.errors import InvalidEvent
from state.events.dialect import dialect_named
from state.events.rules import KINDS, Rules, Slot, decode_rules, encode_rules
from stream.api.keys import Scope
from stream.api.merchandising import replace_rules, tag_of
from stream.api.pages.forms import read_form
from stream.api.pages.preview import Preview, preview
from stream.api.pages.rendering import PageRoute, readable_json, reader, redirect, render
from stream.api.pages.sessions import Session
from stream.api.problems import Problem
from stream.api.services import Services

router = APIRouter(route_class=PageRoute, include_in_schema=False)

VALUES: dict[str, tuple[str, type]] = {
    "boost": ("factor", float),
    "cap": ("most", int),
    "cooldown": ("days", int),
    "least_probability": ("probability", float),
    "only": ("slot", str),
    "pin": ("position", int),
    "promote": ("share", float),
    "variety": ("least", int),
}
"""What the one value of a rule means, by kind, and its type."""


@router.get("/rules", response_class=Response)
async def rules(request: Request) -> Response:
    """The rules in force, and a draft that begins with them."""
    services: Services = request.app.state.services
    session = reader(request)
    document = services.merchandising().rules.document
    return _page(request, session, draft=_text(document), base=tag_of(document))


@router.post("/rules", response_class=Response)
async def change_rules(request: Request) -> Response:
    """One step with the draft: ``action`` is add, toggle:N, remove:N, preview or save."""
    services: Services = request.app.state.services
    session, fields = await read_form(request, Scope.READ)
    action, _, argument = fields.get("action", "preview").partition(":")
    base, draft = fields.get("base", ""), fields.get("draft", "")
    try:
        document = decode_rules(draft.encode("utf-8", "replace"))
        if action in ("add", "toggle", "remove"):
            document = _edited(document, action, argument, fields)
            draft = _text(document)
    except InvalidEvent as error:
        return _page(request, session, 400, draft=draft, base=base, fields=fields, wrong=str(error))
    if action == "save":
        request.app.state.sessions.access.permit(session.caller, Scope.MERCHANDISE)
        try:
            done = await replace_rules(services, replace_version(document, 0), base)
        except Problem as problem:
            return _page(request, session, problem.status, draft=draft, base=base, fields=fields, wrong=str(problem))
        session.message = f"Version {done.version} of the rules is in force."
        return redirect("/rules")
    now = services.merchandising()
    dialect = dialect_named(services.settings.dialect)
    after = Merchandising(now.catalogue, CompiledRules(document, dialect), now.unknown_stock, now.position)
    customers = [each.strip() for each in fields.get("customers", "").split(",") if each.strip()]
    return _page(
        request,
        session,
        draft=_text(document) if action != "preview" else draft,
        base=base,
        fields={} if action == "add" else fields,
        document=document,
        change=await preview(services, after, customers),
        notes=list(missing_from(document, now.catalogue, dialect)),
    )


def _page(
    request: Request,
    session: Session,
    status: int = 200,
    *,
    draft: str,
    base: str,
    fields: dict[str, str] | None = None,
    wrong: str | None = None,
    document: Rules | None = None,
    change: Preview | None = None,
    notes: list[str] | None = None,
) -> Response:
    services: Services = request.app.state.services
    now = services.merchandising()
    shown = document if document is not None else now.rules.document
    return render(
        request,
        "rules.html",
        status,
        session,
        version=now.rules.document.version,
        catalogue=len(now.catalogue),
        # A draft that is invalid cannot be listed; the rules in force are, without buttons that would change the draft.
        rules=msgspec.to_builtins(shown).get("rules", []),
        is_draft=document is not None,
        draft=draft,
        base=base,
        fields=fields or {},
        wrong=wrong,
        change=change,
        notes=notes or [],
        kinds=KINDS,
        slots=get_args(Slot),
        values=VALUES,
    )


def _text(document: Rules) -> str:
    """A document as people edit it; the version is given when it is saved."""
    content = msgspec.json.decode(encode_rules(replace_version(document, 0)))
    return readable_json(msgspec.json.encode({"rules": content.get("rules", [])}))


def _edited(document: Rules, action: str, argument: str, fields: dict[str, str]) -> Rules:
    """A document after one step.

    Raises:
        InvalidEvent: The rule to add is invalid.
    """
    listed: list[dict[str, Any]] = list(msgspec.to_builtins(document).get("rules", []))
    if action == "add":
        listed.append(_new_rule(fields, {each["name"] for each in listed}))
    elif argument.isdecimal() and int(argument) < len(listed):
        if action == "remove":
            del listed[int(argument)]
        else:
            changed = listed[int(argument)]
            listed[int(argument)] = {**changed, "enabled": not changed.get("enabled", True)}
    return decode_rules(msgspec.json.encode({"rules": listed}))


def _new_rule(fields: dict[str, str], names: set[str]) -> dict[str, Any]:
    kind = fields.get("kind", "")
    name = fields.get("name", "").strip()
    number = 1
    while not name:
        candidate = f"{kind.replace('_', ' ')} {number}"
        name, number = (candidate if candidate not in names else ""), number + 1
    rule: dict[str, Any] = {"kind": kind, "name": name}
    codes = [each.strip() for each in fields.get("stock_codes", "").split(",") if each.strip()]
    categories = [each.strip() for each in fields.get("categories", "").split(",") if each.strip()]
    if kind == "pin":
        rule["stock_codes"] = codes
    elif codes or categories:
        given = {"stock_codes": codes, "categories": categories}
        rule["items"] = {key: value for key, value in given.items() if value}
    if kind == "promote" and (slot := fields.get("slot")):
        rule["slot"] = slot
    value = fields.get("value", "").strip()
    if value and kind in VALUES:
        field, type_ = VALUES[kind]
        try:
            rule[field] = type_(value)
        except ValueError:
            rule[field] = value  # the decoder reports what it must be
    return rule
