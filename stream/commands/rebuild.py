"""``nextbasket rebuild``: histories that Redis lost, from what Kafka still has and from tables."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from state.wording import count
from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.options import DateFormatOption, with_date_format
from stream.cli.threads import use_one_thread

if TYPE_CHECKING:
    from state.domain.identities import Identities
    from state.settings import Settings
    from stream.kafka.topic_reader import TopicRecords
    from stream.tools.rebuild import RawEvent

EVENTS_AT_ONCE = 512


def rebuild(
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="An invoice table with what is older than the topic, or a folder that holds one; may be repeated.",
            show_default=False,
        ),
    ] = None,
    topic: Annotated[bool, typer.Option("--topic/--no-topic", help="Read the topic of invoices.")] = True,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch", help="Remove all histories and items first; stop the workers before.", show_default=False
        ),
    ] = False,
    date_format: DateFormatOption = None,
) -> None:
    """Restore histories and items that Redis lost, from the topic of invoices and from tables.

    Needs NEXTBASKET_REDIS_URL and NEXTBASKET_KAFKA_BROKERS. Reads the topic
    from its beginning, without aborted transactions, and the tables before
    it. What Redis has already stays as it is: the command may be repeated,
    and workers may run meanwhile. Nothing is sent and no offset changes.

    Where a Cluster lost one node and not the others, histories and the counts
    of items differ: it has to begin from scratch, with the workers stopped.

    Example:
      nextbasket rebuild
      nextbasket rebuild --data invoices-2024.parquet
      nextbasket rebuild --from-scratch --data invoices-2024.parquet
    """
    use_one_thread()
    from state.events.shop_dialect import in_words, shop_dialect
    from state.settings import load_settings
    from state.store.claim import claim_store
    from state.store.redis.store import RedisStore
    from stream.cli.progress import show_progress
    from stream.kafka.topic_reader import TopicRecords
    from stream.kafka.topics import group_has_members
    from stream.tools.rebuild import RawEvent, RebuildLedger
    from stream.tools.rebuild import rebuild as rebuild_from
    from training import progress

    settings = with_date_format(load_settings(), date_format)
    paths = data or []
    if not topic and not paths:
        raise Failure("There is nothing to read: leave out --no-topic, or give --data PATH.", ExitCode.USAGE)
    if from_scratch and group_has_members(settings):
        raise Failure(
            "Stop the workers first: they would count what they read into items that are removed. They are taken to "
            f"run, too, where Kafka does not answer or hides the group {settings.group}."
        )
    ledgers = []
    # Closed before the store, whose new histories the index lacks, even after a failure.
    with closing(RedisStore(settings)) as store, _incomplete_due_index(settings), show_progress():
        claim_store(store, shop_dialect(settings))
        if (mark := store.mark()).lost_parts and not from_scratch:
            raise Failure(
                f"Redis lost {mark.lost_parts} of the {mark.parts} parts of its Cluster and has the others, so items "
                "would be counted twice, or not at all. Stop the workers and run: nextbasket rebuild --from-scratch"
            )
        known = _identities(settings)
        if from_scratch:
            store.empty()
        echo(f"Events are read {in_words(shop_dialect(settings))}.")
        for path in paths:
            ledgers.append(RebuildLedger(str(path)))
            rebuild_from(store, settings, _table(path, settings), ledgers[-1], clock=time.time(), lookup=known)
        if topic:
            with closing(TopicRecords(settings)) as records:
                progress.stage(f"rebuilding from {records.topic}")
                ledgers.append(RebuildLedger(f"Topic {records.topic}"))
                batches = ([RawEvent(record.value, record.timestamp) for record in batch] for batch in records)
                rebuild_from(store, settings, batches, ledgers[-1], clock=time.time(), lookup=known)
                beginnings = _beginnings(records, tables=bool(paths))
        if from_scratch:
            store.restore_parts()
        customers = sum(1 for _ in store.histories())
    for sentence in (line for ledger in ledgers for line in ledger.sentences()):
        echo(sentence)
    if topic and beginnings:
        echo(beginnings)
    echo(f"Redis has the histories of {count(customers, 'customer')}.")


@contextmanager
def _incomplete_due_index(settings: "Settings") -> "Iterator[None]":
    """The next list of who is due after this compares all histories, whatever was listed meanwhile."""
    from state.store.redis.due_index import RedisDueIndex

    with closing(RedisDueIndex(settings)) as index:
        index.set_complete(False)
        try:
            yield
        finally:
            index.set_complete(False)


def _identities(settings: "Settings") -> "Callable[[Sequence[str]], Identities]":
    """Which customers are merged or erased, by the topic of customers, which Redis gets too."""
    from state.domain.identities import Identities
    from state.store.redis.identities import RedisIdentities
    from stream.kafka.customer_log import restore_identities

    with closing(RedisIdentities(settings)) as identities:
        restore_identities(settings, identities)
        known = identities.all() or Identities()
    return lambda customer_ids: known


def _beginnings(records: "TopicRecords", *, tables: bool) -> str:
    """A sentence where Kafka has deleted the first events of the topic; empty where it has not."""
    late = {partition: start for partition, (start, _) in records.spans.items() if start > 0}
    if not late:
        return ""
    partitions = ", ".join(f"{partition} at offset {start:,}" for partition, start in sorted(late.items()))
    cure = "the tables have to hold what is older" if tables else "give a table that holds what is older with --data"
    return f"{records.topic} begins later than it did, because of its retention: partition {partitions}; {cure}."


def _table(path: Path, settings: "Settings") -> "Iterator[Sequence[RawEvent]]":
    """The rows of a table as the events that ``nextbasket replay`` would send; prints how the table was read."""
    from stream.tools.rebuild import RawEvent
    from stream.tools.replay_events import replay_events
    from training import progress
    from training.data.table_rows import TableRows
    from training.data.tables.invoice_table import load_batches

    batches = load_batches(
        path, timezone=settings.timezone, date_format=settings.date_format, decimal_mark=settings.decimal_mark
    )
    rows = TableRows(batches, settings)
    events = replay_events(rows.parts(), "lines", since=None, until=None, customers=rows.customers, items=rows.items)
    some = list(islice(events, EVENTS_AT_ONCE))  # how the table is read is known when all of it was
    for line in rows.reading.lines():
        echo(line)
    progress.stage(f"rebuilding from {path}")
    done = 0
    while some:
        yield [RawEvent(event.value) for event in some]
        done += len(some)
        progress.update(done, rows.number, path.name)
        some = list(islice(events, EVENTS_AT_ONCE))
