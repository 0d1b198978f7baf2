"""``nextbasket evaluate``: models side by side on a span of days, as in production."""

import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from rich.table import Table

    from state.events.invoice import Invoice
    from state.settings import Settings
    from training.data.cleaning.ledger import Ledger
    from training.evaluation.tables import Cells


class Task(StrEnum):
    """What is ranked: everything, or only what the customer never bought."""

    NEXT_BASKET = "next-basket"
    DISCOVER = "discover"


class When(StrEnum):
    """When it is ranked: just before an invoice, right after the customer's previous one, or at both moments."""

    VISIT = "visit"
    EMISSION = "emission"
    BOTH = "both"


def evaluate(
    since: Annotated[
        str, typer.Option("--from", help="First day that is judged; models are fitted on what is before.")
    ],
    until: Annotated[str, typer.Option("--to", help="First day that is not judged any more.")],
    data: Annotated[
        Path | None, typer.Option(help="An invoice table or a folder that holds one; NEXTBASKET_DATA unless given.")
    ] = None,
    models: Annotated[
        str,
        typer.Option(help="Names with commas between, options behind a colon (a,b:option=value); all unless given."),
    ] = "",
    task: Annotated[Task, typer.Option(help="What is ranked.")] = Task.NEXT_BASKET,
    moment: Annotated[When, typer.Option(help="When it is ranked.")] = When.VISIT,
    seeds: Annotated[int, typer.Option(min=1, help="Metrics are averaged over this many seeds.")] = 1,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data, for models that make any.")] = None,
    first_invoices: Annotated[
        bool, typer.Option("--first-invoices", help="Judge customers' first purchases too, at the visit.")
    ] = False,
    predictions_out: Annotated[Path | None, typer.Option(help="Write the first seed's rankings as Parquet.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write every figure as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with pictures, one file.")] = None,
) -> None:
    """Fit models on what lies before a span of days, let them predict every invoice in it, and compare them.

    Neither registry nor Kafka is touched.

    Example: nextbasket evaluate --data retail.xlsx --from 2011-11-09 --to 2011-12-10 --models gp_topfreq,basket_lstm
    """
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging
    from training.evaluation.compare import compare
    from training.evaluation.report import as_dict, write_rankings
    from training.evaluation.split import parse_span
    from training.evaluation.tables import tables
    from training.evaluation.variants import parse_variants

    settings = load_settings()
    if "log_level" in settings.model_fields_set:  # people read what is printed, not a log
        configure_logging(settings)
    judged = parse_span(since, until, settings.timezone)
    variants = parse_variants(models)
    if predictions_out is not None and moment is When.BOTH:
        raise Failure(
            "A row of --predictions-out does not say its moment: give --moment visit or --moment emission with it.",
            ExitCode.USAGE,
        )
    if first_invoices and moment is When.EMISSION:
        raise Failure(
            "At the emission nobody has a first purchase ahead: give --moment visit or both with --first-invoices.",
            ExitCode.USAGE,
        )
    for path in (predictions_out, as_json, html):
        _writable(path)
    log, ledger = _read(settings, data)

    from stream.cli.console import table_console
    from stream.cli.progress import show_progress
    from training import progress

    with show_progress():
        comparison = compare(
            log,
            variants,
            judged,
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
    for when in report["moments"]:
        for cells in tables(report, when):
            table_console().print(_table(cells))
    if predictions_out is not None:
        rows = write_rankings(
            comparison.moments["emission" if moment is When.EMISSION else "visit"].first_run, predictions_out
        )
        typer.echo(f"Wrote {rows:,} rankings to {predictions_out}.")
    if as_json is not None:
        import msgspec

        with_ledger = msgspec.json.encode(report | {"ledger": ledger})
        as_json.write_bytes(msgspec.json.format(with_ledger, indent=2) + b"\n")
        typer.echo(f"Wrote the figures to {as_json}.")
    if html is not None:
        from training.evaluation.page import page
        from training.report import render

        html.write_text(render(page(report, footer=_again(report, epochs, first_invoices))), encoding="utf-8")
        typer.echo(f"Wrote the report to {html}.")


def _table(cells: "Cells") -> "Table":
    """Cells as a table of the terminal."""
    from rich.table import Table

    table = Table(title=cells.caption, title_justify="left")
    for place, heading in enumerate(cells.columns):
        table.add_column(heading, justify="right" if place else "left", no_wrap=not place)
    for row in cells.rows:
        table.add_row(*row)
    return table


def _again(report: "dict[str, Any]", epochs: int | None, first_invoices: bool) -> str:
    """The command that makes the report again, without the paths of one machine."""
    moments = list(report["moments"])
    models = next(iter(report["moments"].values()))["models"]
    options = [
        f"--from {report['from']} --to {report['to']} --task {report['task']}",
        f"--moment {moments[0] if len(moments) == 1 else When.BOTH.value} --seeds {len(report['seeds'])}",
        *([f"--epochs {epochs}"] if epochs else []),
        *(["--first-invoices"] if first_invoices else []),
        f"--models {','.join(models)}",
    ]
    return f"Made by: nextbasket evaluate --data PATH {' '.join(options)} --html FILE"


def _writable(path: Path | None) -> None:
    """What cannot be written is found out before the work, not after."""
    if path is not None and path.is_dir():
        raise Failure(f"{path} is a folder; name the file to write.", ExitCode.USAGE)
    if path is not None and not path.absolute().parent.is_dir():
        raise Failure(
            f"There is no folder {path.absolute().parent} to write {path.name} into; make it first.", ExitCode.DATA
        )


def _read(settings: "Settings", data: Path | None) -> "tuple[Sequence[Invoice], Ledger]":
    """The table's log and the cleaning's ledger, which is printed."""
    from training.data.log import read_table

    path = settings.data if data is None else data
    if path is None:
        raise Failure("There is nothing to evaluate on: give --data PATH, or set NEXTBASKET_DATA.", ExitCode.USAGE)
    log, ledger = read_table(path, settings, clock=int(time.time()))
    for line in ledger.lines():
        typer.echo(line)
    ledger.require_purchases()
    return log, ledger
