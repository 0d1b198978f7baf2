"""``nextbasket eda``: look at a table before anything is fitted to it."""

import time
from pathlib import Path
from typing import Annotated

import typer

from stream.cli.exit_codes import ExitCode, Failure


def eda(
    data: Annotated[
        Path | None, typer.Option(help="An invoice table or a folder that holds one; NEXTBASKET_DATA unless given.")
    ] = None,
    output: Annotated[Path, typer.Option(help="The report, one HTML file; replaced where it exists.")] = Path(
        "eda.html"
    ),
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="Folder of its pictures; beside the report unless given. Files of the same name are replaced."
        ),
    ] = None,
) -> None:
    """Show what a table holds: sales, best sellers, baskets, customers, returns, and what is wrong with it.

    Writes one HTML file that needs nothing beside it, and its pictures as files. The same table gives the same bytes;
    only what is dated ahead of the clock is left out until its day.

    Example: nextbasket eda --data online_retail.xlsx --output retail.html
    """
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging

    settings = load_settings()
    if "log_level" in settings.model_fields_set:  # people read what is printed, not a log
        configure_logging(settings)
    path = settings.data if data is None else data
    if path is None:
        raise Failure("There is nothing to look at: give --data PATH, or set NEXTBASKET_DATA.", ExitCode.USAGE)
    folder = output.with_name(f"{output.stem}-pictures") if pictures is None else pictures
    _writable(output, folder)

    from stream.cli.progress import show_progress
    from training import progress
    from training.data.tables import invoice_table
    from training.eda import build_report
    from training.report import render, save_pictures

    with show_progress():
        progress.stage("reading")
        table = invoice_table.load(path, timezone=settings.timezone)
        progress.stage("exploring")
        page = build_report(table, settings, name=path.resolve().name, clock=int(time.time()))
    html = render(page).encode()
    output.write_bytes(html)
    saved = save_pictures(page, folder)
    typer.echo(f"{page.lead}")
    typer.echo(f"Wrote {output} ({len(html) / 1e6:.1f} MB) and {len(saved)} pictures to {folder}.")


def _writable(output: Path, folder: Path) -> None:
    """What cannot be written is found out before the work, not after."""
    if output.is_dir():
        raise Failure(
            f"{output} is a folder; name the file to write, for example {output / 'eda.html'}.", ExitCode.USAGE
        )
    if not output.absolute().parent.is_dir():
        raise Failure(
            f"There is no folder {output.absolute().parent} to write {output.name} into; make it first.", ExitCode.DATA
        )
    if folder.exists() and not folder.is_dir():
        raise Failure(f"{folder} is a file; give --pictures a folder.", ExitCode.USAGE)
