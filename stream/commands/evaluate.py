"""``nextbasket evaluate``: models side by side on a span of days, as in production."""

import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from state.wording import count
from stream.cli.console import echo, print_erased
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.options import DataOption, DateFormatOption, data_path, with_date_format
from stream.cli.output_paths import require_file_path
from stream.cli.threads import choose_kernels
from training.model_table import MODEL_TABLE

if TYPE_CHECKING:
    from rich.table import Table

    from state.events.invoice import Invoice
    from state.settings import Settings
    from training.data.cleaning.ledger import Ledger
    from training.evaluation.tables import Cells

EPILOG = "\n".join(["Models:", *(f"  {name:<18} {entry.about}" for name, entry in MODEL_TABLE.items())])


class TaskOption(StrEnum):
    """What is ranked: all items, or only those the customer never bought."""

    NEXT_BASKET = "next-basket"
    DISCOVER = "discover"


class MomentOption(StrEnum):
    """When it is ranked: just before an invoice, right after the customer's previous one, or at both moments."""

    VISIT = "visit"
    EMISSION = "emission"
    BOTH = "both"


def evaluate(
    since: Annotated[str, typer.Option("--from", help="First day to predict; models are fitted on everything before.")],
    until: Annotated[str, typer.Option("--to", help="First day that is not predicted any more.")],
    data: DataOption = None,
    date_format: DateFormatOption = None,
    models: Annotated[
        str,
        typer.Option(
            help="Names (below) separated by commas, with options behind colons: a,b:option=value. Default: all."
        ),
    ] = "",
    task: Annotated[
        TaskOption, typer.Option(help="Rank all items, or only those that the customer never bought.")
    ] = TaskOption.NEXT_BASKET,
    moment: Annotated[
        MomentOption,
        typer.Option(help="Rank just before an invoice (visit), right after the previous one (emission), or both."),
    ] = MomentOption.VISIT,
    seeds: Annotated[int, typer.Option(min=1, help="Average the metrics over this many seeds.")] = 1,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the data, for models that are trained in epochs.")
    ] = None,
    first_invoices: Annotated[
        bool, typer.Option("--first-invoices", help="Predict the first purchases of customers too, at the visit.")
    ] = False,
    predictions_out: Annotated[
        Path | None, typer.Option(help="Write the rankings of the first seed as Parquet.")
    ] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with pictures as one HTML file.")] = None,
) -> None:
    """Fit models on what is before a span of days, predict every invoice in it, and compare the models.

    Uses no registry, and Kafka only for the list of erased customers.

    Example:
      nextbasket evaluate --from 2011-11-09 --to 2011-12-10 --models ease
    """
    choose_kernels()
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging
    from training.evaluation.compare import compare
    from training.evaluation.report import as_dict, write_rankings
    from training.evaluation.split import parse_span
    from training.evaluation.tables import tables
    from training.evaluation.variants import parse_variants

    settings = with_date_format(load_settings(), date_format)
    configure_logging(settings, only_if_level_set=True)
    span = parse_span(since, until, settings.timezone)
    variants = parse_variants(models)
    if first_invoices and moment is MomentOption.EMISSION:
        raise Failure(
            "Nobody has an emission before a first purchase: give --moment visit or both with --first-invoices.",
            ExitCode.USAGE,
        )
    for path in filter(None, (predictions_out, as_json, html)):
        require_file_path(path)
    log, ledger = _read_log(settings, data)

    from stream.cli.console import table_console
    from stream.cli.progress import show_progress
    from training import progress

    with show_progress():
        comparison = compare(
            log,
            variants,
            span,
            moment=moment.value,
            task=task.value,
            seeds=[settings.seed + number for number in range(seeds)],
            window=settings.window,
            epochs=epochs,
            first_invoices=first_invoices,
        )
        progress.stage("measuring intervals")
        progress.update(0, 1)
        report = as_dict(comparison)
        progress.update(1, 1)
    for shown_moment in report["moments"]:
        for cells in tables(report, shown_moment):
            table_console().print(_table(cells))
    if report["warning"]:
        echo(report["warning"], err=True)
    if predictions_out is not None:
        rows = write_rankings([result.first_run for result in comparison.moments.values()], predictions_out)
        echo(f"Wrote {count(rows, 'ranking')} to {predictions_out}.")
    if as_json is not None:
        import msgspec

        with_ledger = msgspec.json.encode(report | {"ledger": ledger})
        as_json.write_bytes(msgspec.json.format(with_ledger, indent=2) + b"\n")
        echo(f"Wrote the figures to {as_json}.")
    if html is not None:
        from training.evaluation.page import page
        from training.report import render

        html.write_text(render(page(report, footer=_command(report, epochs, first_invoices))), encoding="utf-8")
        echo(f"Wrote the report to {html}.")


def _table(cells: "Cells") -> "Table":
    """Cells as a table of the terminal."""
    from rich.table import Table

    table = Table(title=cells.caption, title_justify="left")
    for index, heading in enumerate(cells.columns):
        table.add_column(heading, justify="right" if index else "left", no_wrap=not index)
    for row in cells.rows:
        table.add_row(*row)
    return table


def _command(report: "dict[str, Any]", epochs: int | None, first_invoices: bool) -> str:
    """The command that makes the same report, without the paths of one machine."""
    moments = list(report["moments"])
    models = next(iter(report["moments"].values()))["models"]
    options = [
        f"--from {report['from']} --to {report['to']} --task {report['task']}",
        f"--moment {moments[0] if len(moments) == 1 else MomentOption.BOTH.value} --seeds {len(report['seeds'])}",
        *([f"--epochs {epochs}"] if epochs else []),
        *(["--first-invoices"] if first_invoices else []),
        f"--models {','.join(models)}",
    ]
    return f"Made by: nextbasket evaluate --data PATH {' '.join(options)} --html FILE"


def _read_log(settings: "Settings", data: Path | None) -> "tuple[Sequence[Invoice], Ledger]":
    """Read the table and print what its cleaning left out; returns the log and the ledger of the cleaning."""
    from state.domain.identities import Resolver
    from stream.kafka.customer_log import known_customers
    from training.data.log import read_table
    from training.engine import map_parts

    resolver = Resolver(known_customers(settings))
    log, ledger = read_table(
        data_path(data, settings), settings, clock=int(time.time()), resolve=resolver, map_parts=map_parts
    )
    for line in ledger.lines():
        echo(line)
    print_erased(resolver.erased)
    ledger.require_purchases()
    return log, ledger
