"""``nextbasket demo``: the main job on one machine, from data to recommendations, with nothing to install beside it."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="An invoice table. Default: NEXTBASKET_DATA, a cached copy, UCI's download, the simulator."),
    ] = None,
    events: Annotated[int, typer.Option(min=1, max=5_000, help="How many of the newest invoices to replay.")] = 1_200,
    rate: Annotated[float, typer.Option(min=1, max=200, help="Invoices a second.")] = 40.0,
    picture: Annotated[Path | None, typer.Option(help="Save the last screen as an SVG picture.")] = None,
) -> None:
    """See it work: train on the past, start a real worker, replay what followed, watch the predictions.

    An embedded Kafka and an embedded Redis run inside this command and go with it; no Docker and no server is needed.
    Ends by itself, or cleanly on Ctrl-C.

    Example: nextbasket demo --events 500
    """
    from stream.demo.run import Show, run_demo

    run_demo(Show(data=data, events=events, rate=rate, picture=picture))
