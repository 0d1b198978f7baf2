"""``nextbasket replay``: an invoice table into Kafka."""

from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from state.wording import count
from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.options import DateFormatOption, parse_date_option, with_date_format
from stream.cli.threads import use_one_thread
from stream.tools.replay import ReplayCheckpoint, ReplayResult
from stream.tools.replay_events import EventShape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from state.settings import Settings
    from stream.tools.replay_events import ReplayEvent
    from training.data.sources.source import Source
    from training.data.table_rows import TableRows


def replay(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="An invoice table (.parquet, .xlsx, .csv), or a folder that holds one. Default: NEXTBASKET_DATA; "
            "where that is not set, UCI Online Retail, downloaded, or else a simulated shop.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="First date to send, such as 2011-11-09.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="First date that is not sent any more.")] = None,
    shape: Annotated[EventShape, typer.Option(help="One event per line, or one per invoice.")] = "lines",
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="How many times as fast as it happened: 3600 is an hour a second.")
    ] = None,
    date_format: DateFormatOption = None,
    state: Annotated[
        Path | None,
        typer.Option(help="File for the checkpoint; the same command with the same file goes on from there."),
    ] = None,
) -> None:
    """Send the rows of an invoice table into Kafka, in time order, as a shop would have.

    Needs NEXTBASKET_KAFKA_BROKERS. Sends as fast as Kafka takes the events,
    unless --rate or --speed is given.

    Example:
      nextbasket replay retail.parquet --from 2011-11-09 --rate 50
    """
    if rate is not None and speed is not None:
        raise Failure("--rate and --speed exclude each other; give one of them.", ExitCode.USAGE)
    use_one_thread()  # reading a table needs no more, and a worker on this machine can use the other cores
    from kafka import KafkaProducer
    from tqdm import tqdm

    from state.events.shop_dialect import in_words
    from state.settings import load_settings
    from stream.cli.progress import show_progress
    from stream.kafka.config import kafka_python_config
    from stream.kafka.customer_log import known_customers
    from stream.kafka.publisher import MAX_MESSAGE_BYTES
    from stream.kafka.topics import ensure_topics, wanted_topics
    from stream.tools.replay import replay_fingerprint, send, throttle
    from stream.tools.replay_events import is_passed_over, replay_events
    from training.data.table_rows import TableRows
    from training.data.tables.invoice_table import TableBatches, load_batches

    settings = with_date_format(load_settings(), date_format)
    bounds = parse_date_option(since, settings), parse_date_option(until, settings)
    if bounds[0] is not None and bounds[1] is not None and bounds[1] <= bounds[0]:
        raise Failure(f"--to {until} does not come after --from {since}: nothing lies between them.", ExitCode.USAGE)
    topic = settings.topics.invoices
    known = known_customers(settings)
    example = None
    if path is None and settings.data is None:
        example = _example_data(settings)
        path = example.path
    path = path or settings.data
    assert path is not None
    checkpoint = _load_checkpoint(
        state,
        replay_fingerprint(
            path,
            shape,
            *bounds,
            settings.timezone,
            topic,
            *filter(None, [settings.date_format, settings.decimal_mark]),
            *sorted(known.erasures),  # the number of events depends on them
        ),
    )
    if example is None:
        batches = load_batches(
            path, timezone=settings.timezone, date_format=settings.date_format, decimal_mark=settings.decimal_mark
        )
    else:
        batches = TableBatches(len(example.table.frame), iter([example.table]))
    rows = TableRows(batches, settings)
    events = replay_events(
        rows.parts(),
        shape,
        since=bounds[0],
        until=bounds[1],
        customers=rows.customers,
        items=rows.items,
    )
    with show_progress():
        first = next(events, None)  # how the table is read is known when all of it was
    for line in rows.reading.lines():
        echo(line)
    echo(f"Rows go as they are, for workers that read them {in_words(rows.dialect)}.")
    if first is None and bounds != (None, None):
        raise Failure(f"No row of {path} lies in the span: {_dates(rows)}. Give other dates.", ExitCode.DATA)
    events = chain(filter(None, [first]), events)
    config = kafka_python_config(settings, acks="all", linger_ms=5, max_request_size=MAX_MESSAGE_BYTES)
    ensure_topics(settings, wanted_topics(settings, topic))
    producer = KafkaProducer(**config)
    done_before = checkpoint.done
    passed_over = 0

    def not_erased() -> "Iterator[ReplayEvent]":
        nonlocal passed_over
        for event in events:
            if is_passed_over(event, known):
                passed_over += 1
            else:
                yield event

    remaining = not_erased() if known.erasures else events
    try:
        for _ in zip(range(done_before), remaining, strict=False):
            pass
        with tqdm(unit=" events", initial=done_before, disable=None, unit_scale=True) as bar:
            result = send(
                producer,
                topic,
                throttle(remaining, rate=rate, speed=speed),
                checkpoint,
                save=lambda checkpoint: _save_checkpoint(state, checkpoint),
                on_done=lambda events: bar.update(events),
            )
    except KeyboardInterrupt:
        resume = f"; call it again to go on from event {checkpoint.done:,}" if state else ""
        raise Failure(
            f"Interrupted after {count(checkpoint.done - done_before, 'event')}{resume}.", ExitCode.INTERRUPTED
        ) from None
    finally:
        producer.close(timeout=5)
    if passed_over:
        echo(f"{count(passed_over, 'event')} of erased customers passed over.")
    _print_result(result, done_before, topic)


def _example_data(settings: "Settings") -> "Source":
    """UCI Online Retail or a simulated shop; prints which."""
    from training.data.sources.source import find_source

    source = find_source(settings, progress=True)
    echo(source.sentence)
    return source


def _dates(rows: "TableRows") -> str:
    if rows.dates is None:
        return "its rows have no date"
    first, last = (datetime.fromtimestamp(date, UTC) for date in rows.dates)
    return f"its rows run from {first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _print_result(result: ReplayResult, done_before: int, topic: str) -> None:
    earlier = f" ({done_before:,} {'was' if done_before == 1 else 'were'} sent before)" if done_before else ""
    echo(
        f"Sent {count(result.confirmed, 'event')} to {topic} in {result.seconds:.1f} s, "
        f"{result.confirmed / max(result.seconds, 1e-9):,.0f} a second{earlier}."
    )
    if result.refused:
        were = "was" if result.refused == 1 else "were"
        raise Failure(f"{count(result.refused, 'event')} {were} too large for the broker and {were} not sent.")


def _load_checkpoint(path: Path | None, fingerprint: str) -> ReplayCheckpoint:
    """The checkpoint in the file, or a new one where there is no file.

    Raises:
        Failure: The file belongs to another replay, or is no checkpoint.
    """
    import msgspec

    if path is None or not path.exists():
        return ReplayCheckpoint(fingerprint)
    try:
        checkpoint = msgspec.json.decode(path.read_bytes(), type=ReplayCheckpoint)
    except msgspec.MsgspecError:
        raise Failure(f"{path} is no checkpoint of a replay; give another file.", ExitCode.DATA) from None
    if checkpoint.fingerprint != fingerprint:
        raise Failure(
            f"{path} belongs to a replay of another table, span or shape, or to another topic; give another file, "
            "or delete it to start from the first event.",
            ExitCode.DATA,
        )
    return checkpoint


def _save_checkpoint(path: Path | None, checkpoint: ReplayCheckpoint) -> None:
    import msgspec

    from stream.tools.atomic_file import atomic_file

    if path is not None:
        with atomic_file(path) as file:
            file.write(msgspec.json.encode(checkpoint))
