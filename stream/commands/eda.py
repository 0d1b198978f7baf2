"""``nextbasket eda``: a report on a table before a model is fitted to it."""

import time
from pathlib import Path
from typing import Annotated

import typer

from state.wording import count
from stream.cli.console import echo
from stream.cli.options import DataOption, DateFormatOption, data_path, with_date_format
from stream.cli.output_paths import require_file_path, require_folder_path


def eda(
    data: DataOption = None,
    date_format: DateFormatOption = None,
    output: Annotated[Path, typer.Option(help="The report, one HTML file; an existing one is replaced.")] = Path(
        "eda.html"
    ),
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for the pictures; files with their names are replaced. Default: next to the report."),
    ] = None,
) -> None:
    """Report what a table holds: sales, best sellers, baskets, customers, returns, and faults of the data.

    Writes one HTML file that can be sent as it is, and its pictures as files.
    The same table gives the same files; rows dated in the future are left out.

    Example:
      nextbasket eda --data online_retail.xlsx --output retail.html
    """
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging

    settings = with_date_format(load_settings(), date_format)
    configure_logging(settings, only_if_level_set=True)
    path = data_path(data, settings)
    folder = output.with_name(f"{output.stem}-pictures") if pictures is None else pictures
    require_file_path(output)
    require_folder_path(folder, "--pictures")

    from stream.cli.progress import show_progress
    from training import progress
    from training.data.tables import invoice_table
    from training.eda import build_report
    from training.report import render, save_pictures

    with show_progress():
        progress.stage("reading")
        table = invoice_table.load(
            path, timezone=settings.timezone, date_format=settings.date_format, decimal_mark=settings.decimal_mark
        )
        progress.stage("exploring")
        page = build_report(table, settings, name=path.resolve().name, clock=int(time.time()))
    html = render(page).encode()
    output.write_bytes(html)
    saved = save_pictures(page, folder)
    echo(f"{page.lead}")
    echo(f"Wrote {output} ({len(html) / 1e6:.1f} MB) and {count(len(saved), 'picture')} to {folder}.")
