"""``nextbasket merge``: two customers that turned out to be one person."""

from typing import Annotated

import typer

from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.threads import use_one_thread


def merge(
    old: Annotated[str, typer.Argument(help="The id that is given up.", show_default=False)],
    new: Annotated[str, typer.Argument(help="The id that has the purchases of both.", show_default=False)],
) -> None:
    """Merge a customer into another: their histories become one, and later events of OLD go to NEW.

    Sends the event customer.merged, which a worker takes like any other:
    in any order with the invoices of both, and once however often it comes.
    OLD's recommendation is deleted and NEW's computed anew.
    Needs NEXTBASKET_KAFKA_BROKERS. A merge that would be a cycle becomes a
    dead letter.

    Example:
      nextbasket merge 12680 99001
    """
    use_one_thread()
    from contextlib import closing

    from state.events.customer_changes import CustomerMerged, encode_change
    from state.settings import load_settings
    from stream.commands.erase import customer_id_of
    from stream.kafka.publisher import KafkaPublisher
    from stream.kafka.topics import ensure_topics, wanted_topics
    from stream.messages import Message

    settings = load_settings()
    source, target = customer_id_of(old), customer_id_of(new)
    if source == target:
        raise Failure("OLD and NEW are the same customer.", ExitCode.USAGE)
    ensure_topics(settings, wanted_topics(settings, settings.topics.invoices))
    event = encode_change(CustomerMerged(source, target))
    with closing(KafkaPublisher(settings)) as publisher:
        publisher.publish([Message(settings.topics.invoices, source.encode(), event)])
    echo(f"Sent. A worker merges {source} into {target}.")
