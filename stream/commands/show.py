"""``nextbasket show``: a customer's history, what they would be offered now, and why."""

import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from state.wording import count
from stream.cli.console import cell, echo
from stream.cli.exit_codes import Failure
from stream.cli.options import parse_date_option
from stream.cli.threads import use_one_thread

if TYPE_CHECKING:
    from rich.table import Table

    from state.domain.recommendation import Item, ModelVersion, Reason
    from state.domain.rules import Merchandising
    from state.settings import Settings
    from stream.tools.customer_report import CustomerReport

MAX_BASKETS = 8
MAX_ITEMS = 6


def show(
    customer: Annotated[str, typer.Argument(help="The customer id, as in the events.")],
    at: Annotated[
        str | None, typer.Option(help="Date of the visit, such as 2011-12-09T13:00. Default: that of the newest event.")
    ] = None,
    why_not: Annotated[
        str | None, typer.Option("--why-not", help="A stock code: explain why it is not recommended.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show a customer: history, attributes, the recommendation for a visit now, and why.

    Also when they are expected back, and what was last sent for them.
    Needs NEXTBASKET_REDIS_URL, and NEXTBASKET_KAFKA_BROKERS for the
    catalogue and the rules. Exit code 1 for an unknown customer.

    Example:
      nextbasket show 12680 --at 2011-12-09T13:00
      nextbasket show 12680 --why-not 22613
    """
    use_one_thread()
    from state.events.dialect import dialect_named
    from state.events.shop_dialect import shop_dialect
    from state.settings import load_settings
    from state.store.claim import require_store_dialect
    from state.store.redis.store import RedisStore
    from stream.cli.registry import load_current_scorer
    from stream.tools.customer_report import build_customer_report

    settings = load_settings()
    visit_date = parse_date_option(at, settings)
    merchandising = _read_merchandising(settings, needed=why_not is not None)
    if why_not is not None:
        why_not = dialect_named(settings.dialect).stock_code(why_not.strip())
    with closing(RedisStore(settings)) as store:
        require_store_dialect(store.dialect(), shop_dialect(settings))
        report = build_customer_report(
            customer,
            store,
            load_current_scorer(settings),
            settings,
            visit_date,
            clock=int(time.time()) if visit_date is None else None,
            merchandising=merchandising,
            why_not=why_not,
        )
    if report is None:
        raise Failure(f"No customer {customer!r} is known here; nextbasket export histories writes those who are.")
    if as_json:
        from stream.cli.console import print_json

        print_json(report)
    else:
        _print(report)


def _read_merchandising(settings: "Settings", *, needed: bool) -> "Merchandising | None":
    """The catalogue and the rules; None, with a line on standard error, where Kafka does not have them."""
    from stream.errors import BrokerUnavailable
    from stream.kafka.followers import read_merchandising

    if not settings.kafka_brokers:
        if needed:
            echo("NEXTBASKET_KAFKA_BROKERS is not set: the catalogue and the rules are not applied.", err=True)
        return None
    try:
        return read_merchandising(settings)
    except BrokerUnavailable as error:
        echo(f"The list may hold what the catalogue and the rules forbid: {error}", err=True)
        return None


def _print(report: "CustomerReport") -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    from stream.tools.explanations import describe_cause, describe_next_purchase

    console = Console(highlight=False)
    baskets = json.loads(bytes(report.history))["baskets"]
    echo(f"Customer {report.customer_id}: {count(len(baskets), 'basket')}, returns taken off")
    if report.attributes:
        attributes = ", ".join(f"{key} {value}" for key, value in report.attributes.items())
        echo(f"Attributes: {attributes}")
    if baskets:
        console.print(_history(baskets, Table("date", "invoice", "items", box=None)))
    if report.visit is None:
        echo("Nothing was ever sold here, or nothing is allowed, so there is nothing to recommend.")
        _print_why_not(report)
        return
    visit = report.visit
    echo(f"\nAt {visit.at}, {describe_model(visit.model)} recommends:")
    console.print(recommended_table(visit.items))
    for action in visit.rules.acted if visit.rules is not None else ():
        echo(f"{describe_cause(action.kind, action.rule)}: {', '.join(action.stock_codes)}")
    echo(describe_next_purchase(visit.next_purchase))
    if report.sent is not None:
        codes = ", ".join(item.stock_code for item in report.sent.items)
        echo(f"\nLast sent {report.sent.generated_at} (revision {report.sent.revision}): {codes}")
    _print_why_not(report)


def _print_why_not(report: "CustomerReport") -> None:
    from stream.tools.explanations import explain

    if report.why_not is not None:
        echo(f"\n{explain(report.why_not)}")


def _history(baskets: list[dict[str, Any]], table: "Table") -> "Table":
    for basket in baskets[-MAX_BASKETS:]:
        items = [f"{quantity} × {code}" for code, quantity in basket["items"].items()]
        more = f" and {len(items) - MAX_ITEMS} more" if len(items) > MAX_ITEMS else ""
        shown = cell(", ".join(items[:MAX_ITEMS]) + more)
        table.add_row(basket["invoice_date"][:10], cell(basket["invoice_no"]), shown)
    return table


def recommended_table(items: "list[Item]") -> "Table":
    """The items with their probabilities and reasons."""
    from rich.table import Table

    table = Table("", "stock code", "description", "probability", "slot", "why", box=None)
    for rank, item in enumerate(items, 1):
        table.add_row(
            str(rank),
            cell(item.stock_code),
            cell(item.description or ""),
            f"{item.probability:.1%}",
            item.slot,
            cell(f"{item.reason.code.replace('_', ' ')} ({_evidence(item.reason)})"),
        )
    return table


def describe_model(model: "ModelVersion") -> str:
    """Name and version of a model; of the fallback, that it serves because no model is promoted."""
    from training.serving.load import NO_VERSION

    return f"{model.name} (no model is promoted)" if model.version == NO_VERSION else f"{model.name} {model.version}"


def _evidence(reason: "Reason") -> str:
    """The facts behind a reason; of a date the day, which fits a narrow terminal."""
    facts = {name: str(value)[:10] if name == "last" else value for name, value in reason.evidence.items()}
    return ", ".join(f"{name} {value}" for name, value in facts.items())
