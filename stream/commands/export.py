"""``nextbasket export``: what the state holds, as JSON Lines sorted by customer or stock code."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from state.wording import count
from stream.cli.console import echo, print_erased
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.options import DateFormatOption, with_date_format
from stream.cli.output_paths import require_file_path

if TYPE_CHECKING:
    from state.domain.attributes import DatedAttributes
    from state.settings import Settings
    from state.store.protocol import Store
    from stream.tools.sorted_lines import KeyedLine


class ExportKind(StrEnum):
    """What can be exported."""

    HISTORIES = "histories"
    RECOMMENDATIONS = "recommendations"
    CUSTOMERS = "customers"
    ITEMS = "items"


def export(
    kind: Annotated[
        ExportKind,
        typer.Argument(
            metavar="KIND",
            help="histories: baskets of each customer; recommendations: the one last sent to each customer; "
            "customers or items: their attributes.",
        ),
    ],
    output: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="An invoice table, or a folder that holds one: write the histories that the stream would hold after "
            "it. Only for histories; needs neither Kafka nor Redis."
        ),
    ] = None,
    date_format: DateFormatOption = None,
) -> None:
    """Write histories, recommendations or attributes: one line of JSON per customer or item, sorted.

    Needs NEXTBASKET_REDIS_URL. Two states are equal if their exported
    histories and attributes are equal byte for byte. With --data it shows
    what becomes of a table; how the table was read, and the cleaning
    ledger, go to standard error.

    Example:
      nextbasket export histories --output histories.jsonl
      nextbasket export histories --data retail.csv --output histories.jsonl
    """
    from state.settings import load_settings

    if output is not None:
        require_file_path(output)
    settings = with_date_format(load_settings(), date_format)
    if data is not None:
        if kind is not ExportKind.HISTORIES:
            raise Failure(f"--data gives histories only, no {kind.value}.", ExitCode.USAGE)
        written = _write(_histories_of_table(data, settings), output)
    else:
        from state.store.redis.store import RedisStore

        with closing(RedisStore(settings)) as store:
            written = _write(_LINES[kind](store), output)
            _print_rules(store, settings)
    if output is not None:
        echo(f"Wrote {count(written, *_NOUNS[kind])} to {output}.")


def _print_rules(store: "Store", settings: "Settings") -> None:
    """Print to standard error in which dialect the histories are written, and whether the settings have another."""
    from state.errors import DialectDiffers
    from state.events.shop_dialect import in_words, shop_dialect
    from state.store.claim import require_store_dialect

    recorded = store.dialect()
    if recorded is None:
        echo("The state has no record of the dialect in which it was written.", err=True)
        return
    echo(f"The state was written {in_words(recorded)}, zone {recorded.timezone}.", err=True)
    if {"dialect", "unsellable_codes"} & settings.model_fields_set:
        try:
            require_store_dialect(recorded, shop_dialect(settings))
        except DialectDiffers as error:
            echo(str(error), err=True)


def _write(lines: "Iterable[KeyedLine]", output: Path | None) -> int:
    """Write lines, sorted, to a file or to standard output, and return their number."""
    from state.events.control_characters import escape_control_in_json
    from stream.tools.atomic_file import atomic_file
    from stream.tools.sorted_lines import sort_lines

    lines_written = 0
    with nullcontext(sys.stdout.buffer) if output is None else atomic_file(output) as file:
        for line in sort_lines(lines):
            file.write(
                line if line.isascii() and b"\x7f" not in line else escape_control_in_json(line.decode()).encode()
            )
            file.write(b"\n")
            lines_written += 1
    return lines_written


def _histories_of_table(path: Path, settings: "Settings") -> "Iterator[KeyedLine]":
    """The canonical histories after the invoices of a table; the ledger goes to standard error."""
    import time

    from state.domain.history import canonical_json
    from state.domain.identities import Resolver
    from stream.kafka.customer_log import known_customers
    from training.data.log import read_table
    from training.data.walk import StateReplay

    resolver = Resolver(known_customers(settings))
    log, ledger = read_table(path, settings, clock=int(time.time()), resolve=resolver)
    for text in ledger.lines():
        echo(text, err=True)
    print_erased(resolver.erased, err=True)
    ledger.require_purchases()
    replay = StateReplay(settings.window)
    for invoice in log:
        replay.apply(invoice)
    for history in replay.histories.values():
        if (line := canonical_json(history)) is not None:
            yield history.customer_id, line


def _histories(store: "Store") -> "Iterator[KeyedLine]":
    from state.domain.history import canonical_json

    for history in store.histories():
        if (line := canonical_json(history)) is not None:
            yield history.customer_id, line


def _recommendations(store: "Store") -> "Iterator[KeyedLine]":
    import msgspec

    for recommendation in store.recommendations():
        yield recommendation.customer_id, msgspec.json.encode(recommendation)


def _customers(store: "Store") -> "Iterator[KeyedLine]":
    for history in store.histories():
        if history.dated_attributes:
            yield history.customer_id, _attributes_line({"customer_id": history.customer_id}, history.dated_attributes)


def _items(store: "Store") -> "Iterator[KeyedLine]":
    for code, state in store.items().states.items():
        if state.dated_attributes:
            yield code, _attributes_line({"stock_code": code}, state.dated_attributes)


def _attributes_line(name: dict[str, str], dated: "DatedAttributes") -> bytes:
    """Attributes with the date of each value, which decides between two values of one attribute."""
    import msgspec

    from state.events.dates import to_iso

    attributes = {key: {"value": value, "date": to_iso(date)} for key, (date, value) in dated.items()}
    return msgspec.json.encode({**name, "attributes": attributes})


_NOUNS = {
    ExportKind.HISTORIES: ("history", "histories"),
    ExportKind.RECOMMENDATIONS: ("recommendation",),
    ExportKind.CUSTOMERS: ("customer",),
    ExportKind.ITEMS: ("item",),
}

_LINES = {
    ExportKind.HISTORIES: _histories,
    ExportKind.RECOMMENDATIONS: _recommendations,
    ExportKind.CUSTOMERS: _customers,
    ExportKind.ITEMS: _items,
}
