"""A customer: timeline of invoices, next basket, when, why, and why not an item."""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request, Response

from state.domain.recommendation import Reason
from stream.api.bodies import MAX_CODE_CHARS, ListQuestion
from stream.api.due_lists import DueQuestion
from stream.api.lookups import CustomerView, ShopState, customer_view
from stream.api.pages.rendering import PageRoute, reader, render
from stream.api.problems import Problem
from stream.api.ranking import Inspection, Workbench
from stream.api.recommendations import visit_query
from stream.api.services import Services
from stream.tools.customer_report import WhyNot, build_customer_report
from stream.tools.explanations import describe_cause, describe_next_purchase, explain
from training.serving.scorer import HORIZONS

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MAX_BASKETS = 30
"""Invoices that the timeline lists; the newest."""

MAX_DUE = 50
"""Customers of a list of who is due."""

Within = Annotated[int | None, Query(ge=1, le=HORIZONS[-1])]
Id = Annotated[str | None, Query(max_length=MAX_CODE_CHARS)]


class _Customer(NamedTuple):
    view: CustomerView
    descriptions: dict[str, str | None]


@router.get("/customers", response_class=Response)
async def customers(request: Request, id: Id = None, why_not: Id = None, within: Within = None) -> Response:
    """The form for a customer id, and the customer; or who is due within some days."""
    services: Services = request.app.state.services
    session = reader(request)
    customer_id = (id or "").strip()
    if not customer_id:
        due = None if within is None else (await services.due.ask(DueQuestion(within, MAX_DUE))).answer
        return render(request, "customers.html", session=session, customer_id="", within=within or 7, due=due)
    try:
        found: _Customer = await services.lookups.ask(lambda shop: _customer(customer_id, shop))
    except Problem as problem:
        if problem.status != 404:
            raise
        return render(
            request,
            "customers.html",
            404,
            session,
            customer_id=customer_id,
            absent=problem.details.detail,
            within=7,
            due=None,
        )
    ranked = await services.ranking.ask(visit_query(services, customer_id, ListQuestion()))
    visit = ranked.recommendation
    code = services.stock_code(why_not) if why_not and why_not.strip() else None
    absence = None
    if code is not None:
        reason = await services.ranking.ask(Inspection(lambda bench: _why_not(customer_id, code, bench)))
        absence = explain(reason) if reason is not None else None
    return render(
        request,
        "customer.html",
        session=session,
        customer_id=customer_id,
        customer=found.view,
        baskets=found.view.baskets[-MAX_BASKETS:][::-1],
        older=max(0, len(found.view.baskets) - MAX_BASKETS),
        descriptions=found.descriptions,
        visit=visit,
        due=describe_next_purchase(visit.next_purchase).splitlines() if visit.next_purchase else [],
        reason=describe_reason,
        cause=describe_cause,
        why_not=code or "",
        absence=absence,
    )


def _customer(customer_id: str, shop: ShopState) -> _Customer:
    view = customer_view(customer_id, shop)
    codes = {code for basket in view.baskets[-MAX_BASKETS:] for code in basket.items}
    return _Customer(view, {code: shop.items.description(code) for code in codes})


def _why_not(customer_id: str, stock_code: str, bench: Workbench) -> WhyNot | None:
    report = build_customer_report(
        customer_id,
        bench.store,
        bench.scorer,
        bench.settings,
        bench.now,
        clock=bench.clock,
        merchandising=bench.merchandising,
        why_not=stock_code,
        items=bench.items,
    )
    return report.why_not if report is not None else None


def describe_reason(reason: Reason) -> str:
    """Why an item is recommended, as one sentence."""
    facts = reason.evidence
    match reason.code:
        case "bought_regularly" | "bought_before":
            times = facts.get("times")
            return f"bought {'once' if times == 1 else f'{times} times'}, last on {str(facts.get('last', ''))[:10]}"
        case "bought_together":
            name = facts.get("description")
            return f"bought together with {facts.get('with')}" + (f" ({name})" if name else "")
        case "in_demand":
            return f"in demand: {facts.get('baskets')} baskets, half-life {facts.get('half_life_days')} days"
        case _:
            return reason.code.replace("_", " ") + "".join(f", {name} {value}" for name, value in facts.items())
