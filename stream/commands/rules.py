"""``nextbasket rules``: the rules of merchandising that are in force."""

import codecs
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from state.wording import count
from stream.cli.console import cell, echo, print_json
from stream.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from state.domain.catalogue import Catalogue
    from state.events.rules import Rule, Rules
    from state.settings import Settings

rules = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Show, check and set the rules that recommendations obey."
)

FileArgument = Annotated[Path, typer.Argument(help="A JSON document of rules (docs/how-to/set-rules.md).")]


@rules.command(short_help="Show the rules in force.")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print the document, as `rules set` takes it.")] = False,
) -> None:
    """Show the rules that are set, in their order. Exit code 1 where there are none.

    Needs NEXTBASKET_KAFKA_BROKERS.

    Example:
      nextbasket rules show --json > rules.json
    """
    from state.settings import load_settings
    from stream.kafka.followers import read_merchandising

    document = read_merchandising(load_settings(), items=False).rules.document
    if as_json:
        import msgspec

        from state.events.rules import encode_rules

        print_json(msgspec.Raw(encode_rules(document)))
        return
    if not document.rules:
        echo("No rules are set; nextbasket rules set FILE sets some.", err=True)
        raise typer.Exit(ExitCode.NEGATIVE)
    from rich.table import Table

    from stream.cli.console import table_console

    table = Table("", "name", "kind", "what", title=f"Rules, version {document.version}", title_justify="left")
    for rule in document.rules:
        table.add_row(_state(rule, datetime.now(UTC)), cell(rule.name), _kind(rule), cell(_content(rule)))
    table_console().print(table)


@rules.command(short_help="Check a document of rules.")
def check(file: FileArgument) -> None:
    """Check a document without setting it; the message names the first wrong field and what it may be.

    Where NEXTBASKET_KAFKA_BROKERS is set, also what it would do: rules
    that match no item of the catalogue, and whether its version is newer.
    Exit code 4 for an invalid document, 1 where it could not be set.

    Example:
      nextbasket rules check rules.json
    """
    from state.settings import load_settings
    from stream.kafka.followers import read_merchandising

    document = _read(file)
    echo(f"{file} is valid: {count(len(document.rules), 'rule')}.")
    settings = load_settings()
    if not settings.kafka_brokers:
        return
    merchandising = read_merchandising(settings)
    _print_notes(document, merchandising.catalogue, settings)
    _require_newer(document, merchandising.rules.document)


@rules.command("set", short_help="Set the rules for all workers.")
def set_rules(file: FileArgument) -> None:
    """Replace the rules; every worker obeys the new ones within a second.

    A document without a version gets the next one; one with a version
    that is not above the version in force is refused.
    Needs NEXTBASKET_KAFKA_BROKERS. Exit code 4 for an invalid document.

    Example:
      nextbasket rules set rules.json
    """
    from contextlib import closing

    from state.domain.rules import replace_version
    from state.events.rules import RULES_KEY, encode_rules
    from state.settings import load_settings
    from stream.kafka.followers import read_merchandising
    from stream.kafka.publisher import KafkaPublisher
    from stream.kafka.topics import ensure_topics, wanted_topics
    from stream.messages import Message

    document = _read(file)
    settings = load_settings()
    ensure_topics(settings, wanted_topics(settings, settings.topics.rules))
    merchandising = read_merchandising(settings, valid_rules=False)
    before = merchandising.rules.document
    _require_newer(document, before)
    document = replace_version(document, document.version or before.version + 1)
    _print_notes(document, merchandising.catalogue, settings)
    with closing(KafkaPublisher(settings)) as publisher:
        publisher.publish([Message(settings.topics.rules, RULES_KEY, encode_rules(document))])
    if read_merchandising(settings, items=False).rules.document != document:
        raise Failure(
            "Somebody else set rules at the same time, and theirs are in force; nextbasket rules show has them."
        )
    echo(
        f"Version {document.version} with {count(len(document.rules), 'rule')} is in force; before it was "
        f"{before.version}."
    )


def _print_notes(document: "Rules", catalogue: "Catalogue", settings: "Settings") -> None:
    """Print which rules are about no item of the catalogue, as one with a wrong category is."""
    from state.domain.rules import missing_from
    from state.events.dialect import dialect_named

    for sentence in missing_from(document, catalogue, dialect_named(settings.dialect)):
        echo(sentence)


def _read(file: Path) -> "Rules":
    """The document in a file.

    Raises:
        Failure: It is invalid.
    """
    from state.errors import InvalidEvent
    from state.events.rules import decode_rules

    try:
        return decode_rules(file.read_bytes().removeprefix(codecs.BOM_UTF8))
    except InvalidEvent as error:
        raise Failure(f"{file}: {error}", ExitCode.DATA) from None


def _require_newer(document: "Rules", before: "Rules") -> None:
    """Check that a document may replace another.

    Raises:
        Failure: Its version is not above the other's, or too far above.
    """
    from state.domain.rules import MAX_VERSION_STEP

    if document.version > before.version + MAX_VERSION_STEP:
        raise Failure(
            f"The document has version {document.version}; it may be {before.version + MAX_VERSION_STEP} at most, as "
            f"version {before.version} is in force. Leave it out, then it is the next."
        )
    if document.version and document.version <= before.version:
        raise Failure(
            f"The document has version {document.version}, and version {before.version} is in force: it may be older. "
            "Compare it with nextbasket rules show --json, then leave its version out or raise it.",
        )


def _state(rule: "Rule", now: datetime) -> str:
    """Whether a rule is switched on and its time span has come."""
    if not rule.enabled:
        return "off"
    if rule.starts is not None and now < rule.starts:
        return "later"
    return "over" if rule.until is not None and now >= rule.until else "on"


def _kind(rule: "Rule") -> str:
    return str(type(rule).__struct_config__.tag).replace("_", " ")


def _content(rule: "Rule") -> str:
    """The fields of a rule, without its name and kind."""
    import msgspec

    fields = msgspec.to_builtins(rule)
    return ", ".join(
        f"{name}: {msgspec.json.encode(value).decode()}"
        for name, value in fields.items()
        if name not in ("kind", "name", "enabled")
    )
