"""``nextbasket demo``: from data to recommendations on one machine, without Docker or servers."""

from pathlib import Path
from typing import Annotated

import typer

from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.output_paths import require_file_path


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
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave Kafka, Redis, worker and API up after the replay, until Ctrl-C.")
    ] = False,
) -> None:
    """Try it here: train a model, start a worker, replay invoices, see the recommendations.

    An embedded Kafka and an embedded Redis run inside this command; no Docker
    and no server is needed. It ends by itself after some minutes, or with a
    summary on Ctrl-C (exit code 130), and leaves nothing behind. With --keep
    it prints commands to try on its servers from another terminal.

    Example:
      nextbasket demo --events 500
    """
    from stream.demo.interruption import Interrupted, raise_on_signals

    if picture is not None:
        require_file_path(picture)
    try:
        with raise_on_signals():
            from stream.demo.run import DemoOptions, run_demo

            code = run_demo(DemoOptions(data=data, events=events, rate=rate, picture=picture, keep=keep))
    except Interrupted:
        raise Failure("Interrupted while starting: no invoice was replayed.", ExitCode.INTERRUPTED) from None
    raise typer.Exit(code)
