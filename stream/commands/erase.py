"""``nextbasket erase``: a customer is forgotten, and stays away."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.output_paths import require_file_path
from stream.cli.threads import use_one_thread

if TYPE_CHECKING:
    from state.domain.identities import Pseudonyms
    from state.domain.receipt import Receipt
    from state.settings import Settings
    from stream.kafka.publisher import KafkaPublisher


def erase(
    customer: Annotated[str, typer.Argument(help="Any id of the customer.", show_default=False)],
    receipt: Annotated[
        Path | None, typer.Option(help="Where the signed receipt is written.", show_default=False)
    ] = None,
    readmit: Annotated[
        bool, typer.Option("--readmit", help="Count the customer's invoices again, those dated from now on.")
    ] = False,
    rewrite: Annotated[
        bool,
        typer.Option(
            "--rewrite",
            help="Also delete the records of all erased customers from the topics, now: everything else is sent again.",
        ),
    ] = False,
    verify: Annotated[
        Path | None,
        typer.Option(help="Only check that this receipt is genuine, and that of the customer.", show_default=False),
    ] = None,
) -> None:
    """Erase a customer: history, recommendation, and whatever else Redis holds; deletes the recommendation in Kafka.

    The customer is listed as erased, under a keyed hash, and late events,
    rebuilds and trainings pass over what they find. A customer with several
    ids is erased under all of them. May be repeated, and workers may run.
    Needs NEXTBASKET_REDIS_URL, NEXTBASKET_KAFKA_BROKERS and an erasure key.
    Exit code 1 where --readmit finds nobody, or --verify another receipt.

    Example:
      nextbasket erase 12680 --rewrite --receipt receipt.json
      nextbasket erase 12680 --verify receipt.json
      nextbasket erase 12680 --readmit
    """
    if receipt is not None:
        require_file_path(receipt)
    use_one_thread()
    import time
    from contextlib import ExitStack, closing
    from functools import partial

    import msgspec

    from state.errors import SettingsError, StateError
    from state.settings import load_settings
    from state.store.identities import load_pseudonyms
    from state.store.redis.identities import RedisIdentities
    from state.store.redis.store import RedisStore
    from stream.cli.errors import describe_error
    from stream.errors import StreamError
    from stream.kafka.customer_log import restore_identities
    from stream.kafka.publisher import KafkaPublisher
    from stream.kafka.retention import remains_in_kafka
    from stream.kafka.topics import ensure_topics, wanted_topics
    from stream.pipeline.erasure import NO_KEY, Eraser
    from stream.tools.traces import open_traces

    settings = load_settings()
    pseudonyms = load_pseudonyms(settings)
    if pseudonyms is None:
        raise SettingsError(NO_KEY)
    customer = customer_id_of(customer)
    if verify is not None:
        _verify(verify, customer, pseudonyms)
        return
    with ExitStack() as closes:
        ensure_topics(settings, wanted_topics(settings, settings.topics.customers, settings.topics.recommendations))
        store = closes.enter_context(closing(RedisStore(settings)))
        identities = closes.enter_context(closing(RedisIdentities(settings)))
        publisher = closes.enter_context(closing(KafkaPublisher(settings)))
        restore_identities(settings, identities)
        known = identities.all()
        assert known is not None  # restored above
        eraser = Eraser(
            store=store,
            identities=identities,
            publish=publisher.publish,
            customers_topic=settings.topics.customers,
            recommendations_topic=settings.topics.recommendations,
            traces=closes.enter_context(open_traces(settings)),
            remains=partial(remains_in_kafka, settings),
        )
        if readmit:
            if not eraser.readmit(customer, known, clock=time.time()):
                raise Failure("This customer is not listed as erased.")
            echo("Invoices of this customer count again from now on; those dated before stay passed over.")
            return
        try:
            done, ids = eraser.erase(customer, known, clock=time.time())
            if rewrite:
                done = _rewrite(settings, done, ids, publisher)
        except (StateError, StreamError) as error:
            code, reason = describe_error(error)
            raise Failure(f"{reason} The erasure is not complete: call the same command again.", code) from error
    if receipt is not None:
        receipt.write_bytes(msgspec.json.format(msgspec.json.encode(done), indent=2) + b"\n")
    echo(f"Erased a customer of {len(ids)} {'id' if len(ids) == 1 else 'ids'}, listed as {done.customer[:12]}….")
    for one in done.findings:
        found = "" if one.found is None else f" {one.found:,} found, {one.removed or 0:,} removed."
        echo(f"  {one.location}:{found}{' ' + one.remains if one.remains else ''}")
    if receipt is not None:
        echo(f"The signed receipt is in {receipt}.")


def _rewrite(settings: "Settings", receipt: "Receipt", ids: list[str], publisher: "KafkaPublisher") -> "Receipt":
    """Rewrite the topics; returns the receipt, with what was found there, which is published too."""
    import msgspec

    from state.domain.receipt import Finding, sign
    from stream.kafka.customer_log import known_customers
    from stream.kafka.topic_rewriter import TopicRewriter
    from stream.messages import Message
    from stream.pipeline.erasure import RECEIPT_PREFIX
    from stream.tools.redrive import decode_offsets

    known = known_customers(settings)
    assert known.pseudonyms is not None  # somebody was erased a moment ago
    findings = {one.location: one for one in receipt.findings}
    for one in TopicRewriter(settings, known, ids, sent_back=decode_offsets).rewrite():
        location = f"topic {one.topic}"
        done = f" {one.done:,} that are dead letters, or were sent back, were not." if one.done else ""
        findings[location] = Finding(
            location,
            one.removed,
            one.removed,
            f"Of all erased customers; {one.copied:,} records of others were sent again.{done} The bytes of deleted "
            "records leave the disk with their segment; docs/how-to/erase-a-customer.md#disks.",
        )
    whole = sign(msgspec.structs.replace(receipt, findings=tuple(findings.values())), known.pseudonyms)
    key = f"{RECEIPT_PREFIX}{whole.customer}:rewritten:{whole.erased_at}".encode()
    publisher.publish([Message(settings.topics.customers, key, msgspec.json.encode(whole))])
    return whole


def customer_id_of(written: str) -> str:
    """The canonical id of a customer as typed.

    Raises:
        Failure: It is none.
    """
    from state.errors import InvalidEvent
    from state.events.wire import Decoder
    from state.settings import load_settings

    try:
        return Decoder(load_settings()).customer_id(written)
    except InvalidEvent as error:
        raise Failure(str(error), ExitCode.USAGE) from None


def _verify(file: Path, customer: str, pseudonyms: "Pseudonyms") -> None:
    import msgspec

    from state.domain.receipt import Receipt, concerns, is_genuine

    try:
        receipt = msgspec.json.decode(file.read_bytes(), type=Receipt)
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(f"{file} is no receipt: {error}.", ExitCode.DATA) from error
    if not is_genuine(receipt, pseudonyms):
        raise Failure(f"{file} was changed, or signed with another erasure key.")
    if not concerns(receipt, [customer], pseudonyms):
        raise Failure(f"{file} is genuine, but of another customer.")
    echo(f"{file} is genuine: this customer was erased at {receipt.erased_at}.")
