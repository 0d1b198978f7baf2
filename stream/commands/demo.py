"""``nextbasket demo``: from data to recommendations on one machine, without Docker or servers."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            help="An invoice table. Default: NEXTBASKET_DATA, else a download of UCI Online Retail, else a made-up one."
        ),
    ] = None,
    events: Annotated[int, typer.Option(min=1, max=5_000, help="How many of the newest invoices to replay.")] = 1_200,
    rate: Annotated[float, typer.Option(min=1, max=200, help="Invoices a second.")] = 40.0,
    picture: Annotated[Path | None, typer.Option(help="Save the last screen as an SVG picture.")] = None,
) -> None:
    """Try it here: train a model, start a worker, replay invoices, see the recommendations.

    An embedded Kafka and an embedded Redis run inside this command; no Docker
    and no server is needed. It ends by itself after some minutes, or cleanly
    on Ctrl-C, and leaves nothing behind.

    Example:
      nextbasket demo --events 500
    """
    from stream.demo.run import DemoOptions, run_demo

    run_demo(DemoOptions(data=data, events=events, rate=rate, picture=picture))
