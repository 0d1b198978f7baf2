"""``nextbasket show``: one customer's history, what they would get now, and why."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from rich.table import Table

    from state.domain.recommendation import Item, NextPurchase
    from state.settings import Settings
    from stream.tools.customer_report import CustomerReport
    from training.serving.scorer import Scorer

BASKETS_SHOWN = 8
ITEMS_SHOWN = 6


def show(
    customer: Annotated[str, typer.Argument(help="The customer, as events name them.")],
    at: Annotated[str | None, typer.Option(help="The moment of the visit; the newest event's unless given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Show a customer: history, attributes, the next basket predicted for a visit now, when they are due, and why.

    A stranger is told so, with exit code 1.

    Example: nextbasket show 12680 --at 2011-12-09T13:00
    """
    import os

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from state.settings import load_settings
    from state.store.redis.store import RedisStore
    from stream.tools.customer_report import build_report

    settings = load_settings()
    moment = _seconds(at, settings)
    with closing(RedisStore(settings)) as store:
        report = build_report(customer, store, _scorer(settings), settings, moment)
    if report is None:
        raise Failure(f"No customer {customer!r} is known here; nextbasket export histories writes those who are.")
    if as_json:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        _print(report)


def _seconds(at: str | None, settings: "Settings") -> int | None:
    from zoneinfo import ZoneInfo

    from state.events.dates import parse_date

    if at is None:
        return None
    seconds = parse_date(f"{at} 00:00" if len(at) <= 10 else at, ZoneInfo(settings.timezone))
    if seconds is None:
        raise Failure(f"{at!r} is no date; it looks like 2011-11-09 or 2011-11-09T12:50.", ExitCode.USAGE)
    return seconds


def _scorer(settings: "Settings") -> "Scorer":
    """The model that serves now.

    Raises:
        RegistryError: The registry or its current bundle cannot be used.
    """
    from training.registry import Registry
    from training.serving.load import fallback_scorer, load_scorer

    registry = Registry(settings.registry_url, cache=settings.cache)
    version = registry.current()
    return fallback_scorer() if version is None else load_scorer(registry.open(version))


def _print(report: "CustomerReport") -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    baskets = json.loads(bytes(report.history))["baskets"]
    console.print(f"Customer {report.customer_id}: {len(baskets)} baskets with something kept", markup=False)
    if report.attributes:
        known = ", ".join(f"{key} {value}" for key, value in report.attributes.items())
        console.print(f"Known: {known}", markup=False)
    if baskets:
        console.print(_history(baskets, Table("date", "invoice", "items", box=None)))
    if report.visit is None:
        console.print("Nothing was ever sold here, so there is nothing to recommend.")
        return
    visit = report.visit
    console.print(f"\nAt {visit.at}, {visit.model.name} {visit.model.version} expects:", markup=False)
    console.print(_offers(visit.items, Table("", "stock code", "description", "chance", "slot", "why", box=None)))
    console.print(_due(visit.next_purchase))
    if report.sent is not None:
        codes = ", ".join(item.stock_code for item in report.sent.items)
        console.print(
            f"\nLast sent {report.sent.generated_at} (revision {report.sent.revision}): {codes}", markup=False
        )


def _history(baskets: list[dict[str, Any]], table: "Table") -> "Table":
    from rich.markup import escape

    for basket in baskets[-BASKETS_SHOWN:]:
        items = [f"{quantity} × {code}" for code, quantity in basket["items"].items()]
        more = f" and {len(items) - ITEMS_SHOWN} more" if len(items) > ITEMS_SHOWN else ""
        shown = escape(", ".join(items[:ITEMS_SHOWN]) + more)
        table.add_row(basket["invoice_date"][:10], escape(basket["invoice_no"]), shown)
    return table


def _offers(items: "list[Item]", table: "Table") -> "Table":
    from rich.markup import escape

    for place, item in enumerate(items, 1):
        why = ", ".join(f"{name} {value}" for name, value in item.reason.evidence.items())
        table.add_row(
            str(place),
            escape(item.stock_code),
            escape(item.description or ""),
            f"{item.probability:.1%}",
            item.slot,
            escape(f"{item.reason.code.replace('_', ' ')} ({why})"),
        )
    return table


def _due(next_purchase: "NextPurchase") -> str:
    chances = ", ".join(f"{chance:.0%} within {days} days" for days, chance in next_purchase.within_days.items())
    return f"Next purchase: {chances}; median {next_purchase.median or 'never'}."
