"""``nextbasket redrive``: dead letters back to the topic they came from."""

from typing import Annotated

import typer

from stream.cli.exit_codes import ExitCode, Failure


def redrive(
    reason: Annotated[
        str | None,
        typer.Option(help="Only letters whose reason contains this text, in upper or lower case. Default: all."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
) -> None:
    """Send dead letters back to the topic of invoices once their cause is gone.

    Needs NEXTBASKET_KAFKA_BROKERS. Each letter goes once, with its bytes and
    key as they came. Kafka stores which were sent, so a second call sends
    only new ones and those left before.

    Example:
      nextbasket redrive --reason "ahead of the clock" --dry-run
    """
    from kafka import KafkaConsumer, KafkaProducer

    from state.settings import load_settings
    from stream.kafka.config import kafka_python_config
    from stream.kafka.publisher import MAX_MESSAGE_BYTES
    from stream.kafka.topics import existing_topics
    from stream.tools.redrive import TooScattered, redrive_letters

    settings = load_settings()
    if settings.topics.dead_letter not in existing_topics(settings):
        typer.echo(f"There is no topic {settings.topics.dead_letter}: nothing was ever dead-lettered.")
        return
    consumer = KafkaConsumer(
        **kafka_python_config(
            settings,
            group_id=f"{settings.group}-redrive",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            isolation_level="read_committed",
        )
    )
    producer = KafkaProducer(**kafka_python_config(settings, acks="all", max_request_size=MAX_MESSAGE_BYTES))
    wanted = (reason or "").casefold()
    try:
        counts = redrive_letters(
            consumer,
            producer,
            settings.topics.dead_letter,
            settings.topics.invoices,
            is_wanted=lambda letter_reason: wanted in letter_reason.casefold(),
            dry_run=dry_run,
        )
    except TooScattered as error:
        raise Failure(str(error), ExitCode.DATA) from None
    finally:
        producer.close(timeout=5)
        consumer.close()
    were_sent = "would be sent" if dry_run else "were sent"
    typer.echo(
        f"{counts.sent:,} dead letters {were_sent} back to {settings.topics.invoices}, {counts.left:,} left in place."
    )
    if counts.impossible:
        raise Failure(
            f"{counts.impossible:,} cannot be sent back: they came from another topic, or their value was left out for "
            "its size and has to be read from the source topic."
        )
