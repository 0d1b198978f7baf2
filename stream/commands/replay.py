"""``nextbasket replay``: an invoice table into Kafka."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.exit_codes import ExitCode, Failure
from stream.tools.replay import Progress, Sent, Shape

if TYPE_CHECKING:
    from state.settings import Settings


def replay(
    path: Annotated[Path, typer.Argument(help="An invoice table (.parquet, .xlsx, .csv), or a folder that holds one.")],
    since: Annotated[str | None, typer.Option("--from", help="First date, included, such as 2011-11-09.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last date, not included.")] = None,
    shape: Annotated[Shape, typer.Option(help="One event a line, or one an invoice.")] = "lines",
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Times as fast as it happened.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep the progress in this file; called again, the replay goes on from there.")
    ] = None,
) -> None:
    """Send the rows of an invoice table into Kafka in time order, as a shop would have sent them; flat out unless told.

    Example: nextbasket replay online_retail.parquet --from 2011-11-09 --shape invoices --rate 50
    """
    if rate is not None and speed is not None:
        raise Failure("--rate and --speed exclude each other; give one of them.", ExitCode.USAGE)
    _limit_threads()
    from kafka import KafkaProducer
    from tqdm import tqdm

    from state.settings import load_settings
    from stream.kafka.config import kafka_python_config
    from stream.kafka.publisher import MAX_MESSAGE_BYTES
    from stream.kafka.topics import ensure_topics
    from stream.tools.replay import events, identity, in_order, pace, send
    from training.data.tables import invoice_table

    settings = load_settings()
    bounds = _seconds(since, settings), _seconds(until, settings)
    if bounds[0] is not None and bounds[1] is not None and bounds[1] <= bounds[0]:
        raise Failure(f"--to {until} does not come after --from {since}: nothing lies between them.", ExitCode.USAGE)
    topic = settings.topics.invoices
    progress = _begin(state, identity(path, shape, *bounds, settings.timezone, topic))
    table = invoice_table.load(path, timezone=settings.timezone)
    for note in table.notes:
        typer.echo(note)
    if bounds != (None, None) and in_order(table.frame, *bounds).empty:
        dates = table.frame["invoice_date"].dropna()
        run = f"run from {dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}" if len(dates) else "have no date"
        raise Failure(f"No row of {path} lies in the span: its rows {run}. Give other dates.", ExitCode.DATA)
    config = kafka_python_config(settings, acks="all", linger_ms=5, max_request_size=MAX_MESSAGE_BYTES)
    ensure_topics(settings)
    producer = KafkaProducer(**config)
    before = progress.done
    known = table.attributes
    outgoing = events(
        table.frame,
        shape,
        since=bounds[0],
        until=bounds[1],
        customers={} if known is None else known.by_customer(),
        items={} if known is None else known.by_item(),
    )
    try:
        for _ in zip(range(before), outgoing, strict=False):
            pass
        with tqdm(unit=" events", initial=before, disable=None, unit_scale=True) as bar:
            sent = send(
                producer,
                topic,
                pace(outgoing, rate=rate, speed=speed),
                progress,
                save=lambda now: _save(state, now),
                show=lambda newly: bar.update(newly),
            )
    except KeyboardInterrupt:
        again = f"; call it again to go on from event {progress.done:,}" if state else ""
        raise Failure(f"Interrupted after {progress.done - before:,} events{again}.", ExitCode.INTERRUPTED) from None
    finally:
        producer.close(timeout=5)
    _report(sent, before, topic)


def _report(sent: Sent, before: int, topic: str) -> None:
    earlier = f" ({before:,} were sent before)" if before else ""
    typer.echo(
        f"Sent {sent.confirmed:,} events to {topic} in {sent.seconds:.1f} s, "
        f"{sent.confirmed / max(sent.seconds, 1e-9):,.0f} a second{earlier}."
    )
    if sent.refused:
        raise Failure(f"{sent.refused:,} events were too large for the broker and were not sent.")


def _limit_threads() -> None:
    """Reading a table needs none of numpy's threads, and they would be taken from the worker beside us."""
    import os

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _seconds(text: str | None, settings: "Settings") -> int | None:
    """A date, or a date with a time, of the command line as seconds since 1970, in the zone of the settings."""
    from zoneinfo import ZoneInfo

    from state.events.dates import parse_date

    if text is None:
        return None
    seconds = parse_date(f"{text} 00:00" if len(text) <= 10 else text, ZoneInfo(settings.timezone))
    if seconds is None:
        raise Failure(f"{text!r} is no date; it looks like 2011-11-09 or 2011-11-09T12:50.", ExitCode.USAGE)
    return seconds


def _begin(state: Path | None, what: str) -> Progress:
    """The progress to go on from.

    Raises:
        Failure: The file belongs to another replay, or is none of ours.
    """
    import msgspec

    if state is None or not state.exists():
        return Progress(what)
    try:
        progress = msgspec.json.decode(state.read_bytes(), type=Progress)
    except msgspec.MsgspecError:
        raise Failure(f"{state} is no progress of a replay; give another file.", ExitCode.DATA) from None
    if progress.what != what:
        raise Failure(
            f"{state} belongs to a replay of another table, span or shape, or to another topic; give another file, "
            "or delete it to begin anew.",
            ExitCode.DATA,
        )
    return progress


def _save(state: Path | None, progress: Progress) -> None:
    import msgspec

    if state is not None:
        aside = state.with_name(f".{state.name}.new")
        aside.write_bytes(msgspec.json.encode(progress))
        aside.replace(state)
