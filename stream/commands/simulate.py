"""``nextbasket simulate``: a made-up invoice table, for a machine without data."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from state.wording import count
from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.options import SeedOption


class KindOfShop(StrEnum):
    """What sort of shop: gifts as in UCI Online Retail, such a shop with 300 customers, weekly groceries."""

    GIFTS = "gifts"
    SMALL = "small"
    GROCERIES = "groceries"


def simulate(
    output: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The Parquet file to write; an existing one is replaced. With --part-rows, a new folder of files.",
        ),
    ],
    kind: Annotated[
        KindOfShop,
        typer.Option(help="A gift shop such as UCI Online Retail's, the same with 300 customers, or weekly groceries."),
    ] = KindOfShop.GIFTS,
    customers: Annotated[
        int | None, typer.Option(min=1, help="Customers with an account. Default: as many as the kind has.")
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=1, help="Items of the catalogue. Default: as many as the kind has.")
    ] = None,
    basket_size: Annotated[
        float | None, typer.Option(min=1, help="Median lines of a basket. Default: as many as the kind has.")
    ] = None,
    part_rows: Annotated[
        int | None,
        typer.Option(min=1, help="Write a folder of Parquet files with about so many rows each, for a large shop."),
    ] = None,
    seed: SeedOption = None,
) -> None:
    """Make up the invoices of a shop, with the columns of UCI Online Retail and its faults.

    The same options give the same table. Figures measured on it show that
    the machinery works, not how good a model is.

    Example:
      nextbasket simulate shop.parquet --kind groceries
    """
    from state.settings import load_settings
    from stream.cli.progress import show_progress
    from training import progress
    from training.data.simulator import SHOP_PROFILES, write_parquet, write_parts

    settings = load_settings()
    if part_rows is not None:
        if output.suffix == ".parquet" or (output.exists() and not (output.is_dir() and not any(output.iterdir()))):
            raise Failure(f"{output} is no new folder: give the name of one, or take --part-rows out.", ExitCode.USAGE)
    elif output.suffix != ".parquet" or output.is_dir():
        raise Failure(f"{output} is no Parquet file to write: give a name such as shop.parquet.", ExitCode.USAGE)
    shop = SHOP_PROFILES[kind.value]
    with show_progress():
        progress.stage("simulating")
        write = write_parquet if part_rows is None else partial(write_parts, part_rows=part_rows)
        rows = write(
            output,
            shop,
            seed=settings.seed if seed is None else seed,
            customers=shop.customers if customers is None else customers,
            items=shop.items if items is None else items,
            size=shop.size if basket_size is None else (basket_size, *shop.size[1:]),
        )
    echo(f"Wrote {count(rows, 'row')} to {output}.")
