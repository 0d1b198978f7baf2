"""``nextbasket redrive``: dead letters back to the topic they came from."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from state.wording import count
from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from kafka import KafkaConsumer

    from state.settings import Settings
    from stream.tools.redrive import RedriveResult

MAX_REASONS = 10
"""Reasons of letters that came back that are printed, the most frequent first."""


def redrive(
    reason: Annotated[
        str | None,
        typer.Option(help="Only letters whose reason contains this text, in upper or lower case. Default: all."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the workers, to report which letters came back.")
    ] = 60.0,
) -> None:
    """Send dead letters back to the topic they came from once their cause is gone.

    Needs NEXTBASKET_KAFKA_BROKERS. Takes the letters that are there at the
    start. Each goes once, with its bytes and key as they came. Kafka stores
    which were sent, so a second call sends only new ones and those left before.

    Exit code 1 where letters came back, or cannot be sent back.

    Example:
      nextbasket redrive --reason "ahead of the clock" --dry-run
    """
    from kafka import KafkaConsumer

    from state.settings import load_settings
    from stream.kafka.config import kafka_python_config
    from stream.kafka.customer_log import known_customers
    from stream.kafka.letter_sender import LetterSender
    from stream.kafka.topics import existing_topics
    from stream.tools.redrive import erased_letters, redrive_letters

    settings = load_settings()
    if settings.topics.dead_letter not in existing_topics(settings, needed=[settings.topics.dead_letter]):
        echo(f"There is no topic {settings.topics.dead_letter}: nothing was ever dead-lettered.")
        return
    wanted = (reason or "").casefold()
    with closing(
        KafkaConsumer(
            **kafka_python_config(
                settings,
                group_id=f"{settings.group}-redrive",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                isolation_level="read_committed",
            )
        )
    ) as consumer:
        with closing(LetterSender(settings, consumer)) as sender:
            result = redrive_letters(
                consumer,
                sender,
                settings.topics.dead_letter,
                settings.topics.invoices,
                also={settings.topics.items},
                is_wanted=lambda letter_reason: wanted in letter_reason.casefold(),
                dry_run=dry_run,
                is_erased=erased_letters(known_customers(settings)),
            )
        counts = result.counts
        were_sent = "would be sent" if dry_run else "was sent" if counts.sent == 1 else "were sent"
        pronoun = "it" if counts.sent == 1 else "they"
        echo(
            f"{count(counts.sent, 'dead letter')} {were_sent} back to where {pronoun} came from, "
            f"{counts.left:,} left in place."
        )
        if counts.erased:
            echo(f"{count(counts.erased, 'dead letter')} of erased customers passed over.")
        came_back = _print_outcome(settings, consumer, result, wait) if result.sent_to else 0
    if result.scattered:
        raise Failure(
            f"Not all letters of partitions {', '.join(map(str, result.scattered))} of {settings.topics.dead_letter} "
            "were sent: those of this reason lie too scattered; choose a wider --reason, or none.",
            ExitCode.DATA,
        )
    if counts.impossible:
        raise Failure(
            f"{count(counts.impossible, 'letter')} cannot be sent back: from another topic, or with a value that was "
            "left out for its size and has to be read from the source topic."
        )
    if came_back:
        raise Failure(f"{count(came_back, 'letter')} came back: the cause is not gone.")


def _print_outcome(settings: "Settings", consumer: "KafkaConsumer", result: "RedriveResult", wait_s: float) -> int:
    """Print what became of the letters; returns how many came back."""
    from kafka import KafkaConsumer, TopicPartition

    from stream.kafka.config import kafka_python_config
    from stream.kafka.topics import group_has_members
    from stream.tools.redrive_outcome import outcome_of, returned_letters, wait_for_workers

    target = settings.topics.invoices
    working = group_has_members(settings)
    workers = KafkaConsumer(**kafka_python_config(settings, group_id=settings.group, enable_auto_commit=False))
    with closing(workers):  # asks for their offsets; it does not join
        unprocessed = wait_for_workers(
            lambda partition: workers.committed(TopicPartition(target, partition)) or 0,
            result.sent_to,
            limit_s=wait_s if working else 0.0,
        )
    outcome = outcome_of(
        sum(map(len, result.sent_to.values())), returned_letters(consumer, result, target), unprocessed
    )
    came_back = outcome.came_back.total()
    if outcome.taken or came_back:
        echo(f"Taken: {outcome.taken:,}; came back as dead letters: {came_back:,}.")
    for reason, number in outcome.came_back.most_common(MAX_REASONS):
        echo(f"  {number:,} × {reason}")
    if len(outcome.came_back) > MAX_REASONS:
        echo(f"  and {count(len(outcome.came_back) - MAX_REASONS, 'other reason')}")
    if outcome.unprocessed:
        why = f"the workers did not come to them within {wait_s:.0f} s" if working else "no worker is running"
        echo(
            f"Not processed yet: {count(outcome.unprocessed, 'letter')}, because {why}. Those whose cause is not gone "
            "will come back as new dead letters; nextbasket redrive --dry-run counts them."
        )
    return came_back
