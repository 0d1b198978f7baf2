"""``nextbasket show``: a customer's history, what they would be offered now, and why."""

import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from state.wording import count
from stream.cli.exit_codes import Failure
from stream.cli.options import parse_date_option
from stream.cli.threads import use_one_thread

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from state.domain.recommendation import Item, NextPurchase
    from state.domain.rules import Merchandising
    from state.settings import Settings
    from stream.tools.customer_report import CustomerReport, WhyNot

MAX_BASKETS = 8
MAX_ITEMS = 6


def show(
    customer: Annotated[str, typer.Argument(help="The customer id, as in the events.")],
    at: Annotated[
        str | None, typer.Option(help="Date of the visit, such as 2011-12-09T13:00. Default: that of the newest event.")
    ] = None,
    why_not: Annotated[
        str | None, typer.Option("--why-not", help="A stock code: say why it is not recommended.")
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
            typer.echo("NEXTBASKET_KAFKA_BROKERS is not set: the catalogue and the rules are not looked at.", err=True)
        return None
    try:
        return read_merchandising(settings)
    except BrokerUnavailable as error:
        typer.echo(f"The list may hold what the catalogue and the rules forbid: {error}", err=True)
        return None


def _print(report: "CustomerReport") -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    baskets = json.loads(bytes(report.history))["baskets"]
    console.print(f"Customer {report.customer_id}: {count(len(baskets), 'basket')}, returns taken off", markup=False)
    if report.attributes:
        attributes = ", ".join(f"{key} {value}" for key, value in report.attributes.items())
        console.print(f"Attributes: {attributes}", markup=False)
    if baskets:
        console.print(_history(baskets, Table("date", "invoice", "items", box=None)))
    if report.visit is None:
        console.print("Nothing was ever sold here, or nothing is allowed, so there is nothing to recommend.")
        _print_why_not(report, console)
        return
    visit = report.visit
    console.print(f"\nAt {visit.at}, {visit.model.name} {visit.model.version} recommends:", markup=False)
    console.print(
        _recommended(visit.items, Table("", "stock code", "description", "probability", "slot", "why", box=None))
    )
    for action in visit.rules.acted if visit.rules is not None else ():
        console.print(f"{_cause(action.kind, action.rule)}: {', '.join(action.stock_codes)}", markup=False)
    console.print(describe_next_purchase(visit.next_purchase))
    if report.sent is not None:
        codes = ", ".join(item.stock_code for item in report.sent.items)
        console.print(
            f"\nLast sent {report.sent.generated_at} (revision {report.sent.revision}): {codes}", markup=False
        )
    _print_why_not(report, console)


def _print_why_not(report: "CustomerReport", console: "Console") -> None:
    if report.why_not is not None:
        console.print(f"\n{explain(report.why_not)}", markup=False)


def explain(why_not: "WhyNot") -> str:
    """One sentence that says why an item is not in the list."""
    code, absence = why_not.stock_code, why_not.absence
    causes = " and ".join(_cause(cause.kind, cause.rule) for cause in absence.causes)
    ranked = "it is no candidate of the model" if absence.rank is None else f"the model ranks it {absence.rank}"
    chance = "" if absence.probability is None else f" with a probability of {absence.probability:.2%}"
    match absence.verdict:
        case "listed":
            return f"{code} is recommended, at position {absence.rank}{chance}."
        case "forbidden":
            return f"{code} is not recommended because of {causes}; {ranked}."
        case "capped":
            return f"{code} is not recommended because of {causes}: the list has enough of its group; {ranked}."
        case "made_room":
            return f"{code} made room for other items because of {causes}; {ranked}{chance}."
        case "below":
            return f"{code} is allowed; {ranked}{chance}, and the list has {count(why_not.length, 'item')}."
        case "no_candidate":
            sold = "" if why_not.sold else " It was never sold."
            return f"{code} is allowed, but {ranked}: nothing links the customer to it.{sold}"
        case _:
            return f"{code} is unknown here: it was never sold and is not in the catalogue."


def _cause(kind: str, rule: str) -> str:
    words = rule.replace("_", " ")
    return f"the catalogue ({words})" if kind == "catalogue" else f"the rule {rule} ({kind.replace('_', ' ')})"


def _history(baskets: list[dict[str, Any]], table: "Table") -> "Table":
    from rich.markup import escape

    for basket in baskets[-MAX_BASKETS:]:
        items = [f"{quantity} × {code}" for code, quantity in basket["items"].items()]
        more = f" and {len(items) - MAX_ITEMS} more" if len(items) > MAX_ITEMS else ""
        shown = escape(", ".join(items[:MAX_ITEMS]) + more)
        table.add_row(basket["invoice_date"][:10], escape(basket["invoice_no"]), shown)
    return table


def _recommended(items: "list[Item]", table: "Table") -> "Table":
    from rich.markup import escape

    for rank, item in enumerate(items, 1):
        evidence = ", ".join(f"{name} {value}" for name, value in item.reason.evidence.items())
        table.add_row(
            str(rank),
            escape(item.stock_code),
            escape(item.description or ""),
            f"{item.probability:.1%}",
            item.slot,
            escape(f"{item.reason.code.replace('_', ' ')} ({evidence})"),
        )
    return table


def describe_next_purchase(next_purchase: "NextPurchase") -> str:
    """The chances of a return, the dates at which they reach 10, 50 and 90 %, and why one of these dates is missing."""
    chances = ", ".join(f"{chance:.0%} within {days} days" for days, chance in next_purchase.within_days.items())
    dates = {
        "earliest": (10, next_purchase.earliest),
        "median": (50, next_purchase.median),
        "latest": (90, next_purchase.latest),
    }
    reached = [f"{chance}% on {date} ({name})" for name, (chance, date) in dates.items() if date is not None]
    missing = [name for name, (_, date) in dates.items() if date is None]
    sentences = [f"Next purchase: {chances}."]
    if reached:
        sentences.append(f"The chance reaches {_listed(reached)}.")
    if missing:
        longest, chance = max(next_purchase.within_days.items(), key=lambda horizon: int(horizon[0]))
        names = _listed([f"no {name}" for name in missing])
        sentences.append(
            f"There is {names} date: the chance stays below {dates[missing[0]][0]}% within {longest} days, the longest "
            f"time that the model predicts ({chance:.0%})."
        )
    return "\n".join([sentences[0], " ".join(sentences[1:])])


def _listed(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
