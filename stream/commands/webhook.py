"""``nextbasket webhook``: the messages of a topic to an HTTP endpoint, signed."""

from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from state.wording import count
from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.options import parse_duration
from stream.cli.output_paths import require_file_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

    from state.settings import Settings
    from stream.kafka.subscriber import Subscriber


class WebhookTopic(StrEnum):
    """The topics that can be sent, without the namespace."""

    DUE = "due-customers"
    RECOMMENDATIONS = "recommendations"
    SCORES = "recommendation-scores"


class Begin(StrEnum):
    """Where a group without committed offsets begins."""

    EARLIEST = "earliest"
    LATEST = "latest"


_ID_FIELDS = {WebhookTopic.DUE: "due_id", WebhookTopic.RECOMMENDATIONS: "rec_id"}
"""The field that identifies a message which may be twice in the topic."""


def webhook(
    url: Annotated[str, typer.Option(help="The endpoint, https:// or http://.")],
    secret_file: Annotated[
        Path, typer.Option("--secret-file", help="File with the secret: base64, with whsec_ before it or not.")
    ],
    topic: Annotated[WebhookTopic, typer.Option(help="The topic whose messages are sent.")] = WebhookTopic.DUE,
    group: Annotated[
        str, typer.Option(help="Name of the subscription; each has its own committed offsets.")
    ] = "webhook",
    begin: Annotated[Begin, typer.Option(help="Where a new subscription begins.")] = Begin.EARLIEST,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="End once everything that is in the topic was delivered.")
    ] = False,
    give_up_after: Annotated[
        str, typer.Option("--give-up-after", help="How long one message is tried, such as 10m or 6h.")
    ] = "1h",
    dead_letters: Annotated[
        Path | None,
        typer.Option(
            "--dead-letters",
            help="File that gets messages that the endpoint refuses three times (4xx); delivery goes on. "
            "Default: they are tried like all others.",
        ),
    ] = None,
    resend: Annotated[
        Path | None, typer.Option("--resend", help="Send what such a file has, in place of the topic.")
    ] = None,
) -> None:
    """Send each message of a topic to an HTTP endpoint, signed (HMAC-SHA256, Standard Webhooks), until SIGTERM.

    At least once, in the order of a customer. A message is tried again
    until the endpoint answers 2xx; nothing is skipped. What was delivered
    is committed to Kafka, so a restart continues there.
    Needs NEXTBASKET_KAFKA_BROKERS, except with --resend. Exit code 5 where
    the endpoint does not accept a message in time, 1 where it answers 410
    or where messages were refused into the file of --dead-letters.

    Example:
      nextbasket webhook --url https://crm.example/hooks/due --secret-file secret.txt
    """
    import signal
    import threading
    import time
    from random import Random

    from state.events.dates import to_iso
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging
    from stream.errors import MessageRefused
    from stream.kafka.subscriber import Subscriber
    from stream.tools.webhook import WebhookSender, read_secret
    from stream.tools.webhook_letters import append_letter, webhook_letter

    if dead_letters is not None:
        require_file_path(dead_letters)
    settings = load_settings()
    configure_logging(settings)
    _check_url(url)
    try:
        key = read_secret(secret_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Failure(f"{secret_file} cannot be used: {error}.", ExitCode.SETTINGS) from None
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sender = WebhookSender(
        url, key, give_up_s=parse_duration(give_up_after), stop=stop, rng=Random(), refusable=dead_letters is not None
    )
    counts = Counts()
    with ExitStack() as stack:
        if resend is not None:
            if dead_letters is not None and dead_letters.resolve() == resend.resolve():
                raise Failure("--dead-letters and --resend need different files.", ExitCode.USAGE)
            name = str(resend)
            messages = _letters(resend)
        else:
            name = _name(topic, settings)
            group_name = f"{settings.group}-{group}"
            subscriber = Subscriber(settings, name, group_name, begin=begin.value, until_end=until_end, stop=stop)
            messages = _records(stack.enter_context(closing(subscriber)), topic, counts)
        stack.callback(lambda: _print_counts(counts, name, dead_letters))
        for message_id, position, value in messages:
            try:
                if not sender.send(message_id, value):
                    break
                counts.delivered += 1
            except MessageRefused as error:
                assert dead_letters is not None  # else the sender does not raise it
                letter = webhook_letter(message_id, position, str(error), to_iso(int(time.time())), value)
                append_letter(dead_letters, letter)
                counts.refused += 1
    if counts.refused:
        raise Failure(f"Send them again once the endpoint takes them: nextbasket webhook --resend {dead_letters} …")


class Counts:
    """Messages that were delivered or refused, and records without a value."""

    delivered = refused = empty = 0


def _records(subscriber: "Subscriber", topic: WebhookTopic, counts: Counts) -> "Iterator[tuple[str, str, bytes]]":
    """Id, position and value of each record of a topic."""
    for record in subscriber.records():
        if (value := record.value()) is None:
            counts.empty += 1
        else:
            yield _message_id(record, value, topic), _position(record), value


def _letters(path: Path) -> "Iterator[tuple[str, str, bytes]]":
    """Id, position and value of each refused message of a file.

    Raises:
        Failure: The file cannot be read.
    """
    from stream.tools.webhook_letters import read_letters

    try:
        for letter in read_letters(path):
            yield letter.id, letter.position, letter.content
    except (OSError, ValueError) as error:
        raise Failure(f"--resend {path} cannot be read: {error}.", ExitCode.USAGE) from None


def _print_counts(counts: Counts, name: str, dead_letters: Path | None) -> None:
    note = f" {count(counts.empty, 'record')} without a value left out." if counts.empty else ""
    if counts.refused:
        note += f" {count(counts.refused, 'message')} refused, in {dead_letters}."
    echo(f"{count(counts.delivered, 'message')} of {name} delivered.{note}", err=True)


def _check_url(url: str) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failure("--url must be like https://crm.example/hooks/due.", ExitCode.USAGE)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        echo("The endpoint has no TLS: messages are signed, but anybody on the way can read them.", err=True)


def _name(topic: WebhookTopic, settings: "Settings") -> str:
    topics = settings.topics
    return {
        WebhookTopic.DUE: topics.due,
        WebhookTopic.RECOMMENDATIONS: topics.recommendations,
        WebhookTopic.SCORES: topics.scores,
    }[topic]


def _message_id(record: "Message", value: bytes, topic: WebhookTopic) -> str:
    """The id of the message by its field, so that a duplicate in the topic has the same; else its offset."""
    import msgspec

    field = _ID_FIELDS.get(topic)
    if field is not None:
        try:
            if isinstance(found := msgspec.json.decode(value, type=dict[str, object]).get(field), str):
                return found
        except msgspec.DecodeError:
            pass
    return _position(record)


def _position(record: "Message") -> str:
    return f"{record.topic()}-{record.partition()}-{record.offset()}"
