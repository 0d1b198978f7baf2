"""``nextbasket due``: who is likely to buy within a window, with the basket and its reasons."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from state.wording import count
from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.options import parse_date_option, parse_duration
from stream.cli.output_paths import require_file_path
from stream.cli.threads import use_one_thread

if TYPE_CHECKING:
    from state.domain.due import DueCustomer
    from state.settings import Settings
    from stream.pipeline.due import DueQuery


class DueFormat(StrEnum):
    """How the list is written."""

    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"
    BRAZE = "braze"
    KLAVIYO = "klaviyo"


def due(
    within: Annotated[str, typer.Option(help="Length of the window in whole days, 1d to 90d.")] = "7d",
    segment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Only customers with this attribute; repeat for more. Of several values of one key one suffices.",
        ),
    ] = None,
    min_chance: Annotated[
        float, typer.Option("--min-chance", min=0.0, max=1.0, help="Lowest chance of a purchase within the window.")
    ] = 0.0,
    limit: Annotated[int, typer.Option(min=0, help="Greatest number of customers; 0 for all.")] = 1_000,
    at: Annotated[
        str | None,
        typer.Option(help="Begin of the window, such as 2011-12-09T13:00. Default: the date of the newest event."),
    ] = None,
    form: Annotated[
        DueFormat, typer.Option("--format", help="json: one object a line; braze, klaviyo: one request body a line.")
    ] = DueFormat.CSV,
    output: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.")] = None,
    publish: Annotated[
        bool,
        typer.Option("--publish", help="Send them to the topic due-customers, each once a day and window."),
    ] = False,
) -> None:
    """List the customers who are likely to buy within a window, given that they have not come since.

    Ordered by expected value: the chance times the expected value of a
    basket. Each has a due date, and the next basket with its reasons.
    Needs NEXTBASKET_REDIS_URL; NEXTBASKET_KAFKA_BROKERS for the catalogue,
    the rules and --publish. Exit code 1 where nobody is due.

    Example:
      nextbasket due --within 7d --segment country=France --output due.csv
      nextbasket due --within 7d --publish
    """
    if output is not None:
        require_file_path(output)
    use_one_thread()
    from tqdm import tqdm

    from state.events.shop_dialect import shop_dialect
    from state.settings import load_settings
    from state.store.claim import require_store_dialect
    from state.store.redis.due_index import RedisDueIndex
    from state.store.redis.store import RedisStore
    from stream.cli.registry import load_current_scorer
    from stream.pipeline.due import due_customers

    if form is DueFormat.PARQUET:
        import pyarrow  # noqa: F401  # fails before the work where it is not installed
    settings = load_settings()
    days = _window(within)
    accepted = _segment(segment or [])
    begin = parse_date_option(at, settings)
    merchandising = None
    if settings.kafka_brokers:
        from stream.kafka.followers import read_merchandising

        merchandising = read_merchandising(settings)
    elif publish:
        raise Failure("--publish needs Kafka: set NEXTBASKET_KAFKA_BROKERS.", ExitCode.SETTINGS)
    else:
        echo("NEXTBASKET_KAFKA_BROKERS is not set: the catalogue and the rules are not applied.", err=True)
    with closing(RedisStore(settings)) as store, ExitStack() as stack:
        require_store_dialect(store.dialect(), shop_dialect(settings))
        query = _query(begin, store.now(), days, limit, min_chance, accepted)
        with closing(tqdm(unit=" customers", desc="reading", disable=None)) as reading:
            found = due_customers(
                store,
                load_current_scorer(settings),
                query,
                top_k=settings.top_k,
                merchandising=merchandising,
                index=stack.enter_context(closing(RedisDueIndex(settings))),
                on_read=reading.update,
            )
        listed = min(found.eligible, query.limit or found.eligible)
        ranked = tqdm(found.customers, unit=" baskets", desc="ranking", total=listed, disable=None)
        sent = Sent()
        customers: Iterable[DueCustomer] = _published(ranked, settings, sent, stack) if publish else ranked
        written = _write(customers, form, output, settings.top_k, print_them=not publish)
    _print_summary(query, found.read, found.eligible, written, len(found.left_out))
    if publish:
        echo(
            f"{count(sent.new, 'customer')} sent to {settings.topics.due}; {written - sent.new:,} were sent before.",
            err=True,
        )
    if not written:
        raise Failure("Nobody is due: no customer with a purchase matches.")


class Sent:
    """Counts the customers that were published."""

    new = 0


def _published(
    customers: "Iterable[DueCustomer]", settings: "Settings", sent: Sent, stack: ExitStack
) -> "Iterator[DueCustomer]":
    """The customers; each portion is published before it is passed on."""
    from state.store.redis.sent_due import RedisSentDue
    from stream.kafka.publisher import KafkaPublisher
    from stream.kafka.topics import due_topic, ensure_topics
    from stream.pipeline.due import portions, publish_due
    from stream.pipeline.due_index import PORTION
    from stream.pipeline.event_headers import event_source

    ensure_topics(settings, [due_topic(settings)])
    publisher = stack.enter_context(closing(KafkaPublisher(settings)))
    log = stack.enter_context(closing(RedisSentDue(settings)))
    for portion in portions(customers, PORTION):
        sent.new += publish_due(portion, publisher, settings.topics.due, log, event_source(settings.namespace))
        yield from portion


def _write(
    customers: "Iterable[DueCustomer]", form: DueFormat, output: Path | None, top_k: int, *, print_them: bool
) -> int:
    """Write customers to the file, or print them; returns their number."""
    from stream.tools.atomic_file import atomic_file
    from stream.tools.due_formats import WRITERS

    written = 0

    def counted() -> "Iterator[DueCustomer]":
        nonlocal written
        for customer in customers:
            written += 1
            yield customer

    if output is None and not print_them:
        for _ in counted():
            pass
        return written
    with nullcontext(sys.stdout.buffer) if output is None else atomic_file(output) as file:
        WRITERS[form](file, counted(), top_k)
        file.flush()
    return written


def _print_summary(query: "DueQuery", read: int, eligible: int, written: int, left_out: int) -> None:
    from state.events.dates import to_iso

    echo(
        f"{count(written, 'customer')} of {read:,} for the {count(query.within_days, 'day')} from {to_iso(query.at)}; "
        f"{eligible:,} match.",
        err=True,
    )
    if left_out:
        echo(f"{count(left_out, 'customer')} left out: they bought, or expired, while the list was made.", err=True)


def _window(text: str) -> int:
    """The length of the window in days.

    Raises:
        Failure: It is none.
    """
    from state.events.dates import DAY
    from training.serving.scorer import HORIZONS

    days, rest = divmod(parse_duration(text), DAY)
    if rest or not 1 <= days <= HORIZONS[-1]:
        raise Failure(f"--within {text} cannot be used: it takes whole days, 1d to {HORIZONS[-1]}d.", ExitCode.USAGE)
    return int(days)


def _segment(conditions: list[str]) -> dict[str, frozenset[str]]:
    """Attribute to its accepted values.

    Raises:
        Failure: One is not KEY=VALUE.
    """
    accepted: dict[str, frozenset[str]] = {}
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not (key and equals and value):
            raise Failure(f"--segment {condition!r} is not KEY=VALUE, such as country=France.", ExitCode.USAGE)
        accepted[key] = accepted.get(key, frozenset()) | {value}
    return accepted


def _query(
    begin: int | None,
    newest: int | None,
    days: int,
    limit: int,
    min_chance: float,
    segment: dict[str, frozenset[str]],
) -> "DueQuery":
    from state.events.dates import to_iso
    from stream.pipeline.due import DueQuery

    if newest is None:
        raise Failure("Nobody is due: no invoice was ever accepted here.")
    if begin is not None and begin < newest:
        raise Failure(
            f"--at {to_iso(begin)} is before the newest event ({to_iso(newest)}): the histories hold what came after "
            "it. Give a later date.",
            ExitCode.USAGE,
        )
    return DueQuery(newest if begin is None else begin, days, limit or None, min_chance, segment)
