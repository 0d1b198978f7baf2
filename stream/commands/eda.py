"""``nextbasket eda``: a report on a table before a model is fitted to it."""

import math
import time
from pathlib import Path
from typing import Annotated

import typer

from state.wording import count
from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure
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
    sample: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Look at this share of the customers, such as 0.1, with all of their rows; the same ones each time.",
            show_default=False,
        ),
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

    if sample == 0:
        raise Failure("--sample 0 looks at no customer; give a share such as 0.1.", ExitCode.USAGE)
    settings = with_date_format(load_settings(), date_format)
    configure_logging(settings, only_if_level_set=True)
    path = data_path(data, settings)
    folder = output.with_name(f"{output.stem}-pictures") if pictures is None else pictures
    require_file_path(output)
    require_folder_path(folder, "--pictures")

    from stream.cli.progress import show_progress
    from training import progress
    from training.data.cleaning.sample import read_sample
    from training.data.tables.invoice_table import load_batches, separate_invoices
    from training.eda import build_report
    from training.report import render, save_pictures

    with show_progress():
        progress.stage("reading")
        batches = load_batches(
            path, timezone=settings.timezone, date_format=settings.date_format, decimal_mark=settings.decimal_mark
        )
        if sample is None:
            _require_memory(path, batches.rows)
        table = separate_invoices(read_sample(batches, sample or 1.0))
        if table.frame.empty and sample is not None and sample < 1:
            raise Failure(f"A sample of {sample} has no row of {path}: give a greater share.", ExitCode.DATA)
        progress.stage("exploring")
        page = build_report(
            table, settings, name=path.resolve().name, clock=int(time.time()), sample=sample, rows=batches.rows
        )
    html = render(page).encode()
    output.write_bytes(html)
    saved = save_pictures(page, folder)
    echo(f"{page.lead}")
    echo(f"Wrote {output} ({len(html) / 1e6:.1f} MB) and {count(len(saved), 'picture')} to {folder}.")


def _require_memory(path: Path, rows: int) -> None:
    """Make sure that a report on all rows of a table fits in memory.

    Raises:
        Failure: It does not; the message has the share of the customers that does.
    """
    from training.data.memory import available_memory
    from training.eda import BYTES_A_ROW

    available = available_memory()
    needed = rows * BYTES_A_ROW
    if available is None or needed <= available:
        return
    share = 0.8 * available / needed
    digits = 1 - math.ceil(math.log10(share))
    shown = max(math.floor(share * 10**digits), 1) / 10**digits
    raise Failure(
        f"{path} has {rows:,} rows: a report on all of them takes some {needed / 1e9:.0f} GB of memory, and "
        f"{available / 1e9:.0f} GB are available. Look at a sample of its customers: --sample {shown}. With --sample 1 "
        "it is tried with all of them.",
        ExitCode.DATA,
    )
