"""``nextbasket items``: the catalogue."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from stream.cli.console import echo
from stream.cli.exit_codes import Failure
from stream.cli.options import DateFormatOption, with_date_format
from stream.cli.threads import use_one_thread

if TYPE_CHECKING:
    from state.domain.catalogue import Catalogue
    from state.events.catalogue import CatalogueDecoder, CatalogueItem
    from state.settings import Settings
    from stream.messages import Message

MAX_REASONS = 10
"""Reasons for refusals that are printed."""
_MESSAGES = 5_000
"""Items that are sent before their confirmation is awaited."""

items = typer.Typer(add_completion=False, no_args_is_help=True, help="Load the catalogue, and show an item of it.")


class LoadedItems(NamedTuple):
    """The items of a table by stock code, the rows that were refused by reason, and rows with a repeated stock code."""

    items: "dict[str, CatalogueItem]"
    refused: dict[str, list[int]]
    repeated: int


@items.command(short_help="Send the items of a table into the catalogue.")
def load(
    path: Annotated[Path, typer.Argument(help="A table of items (.csv, .xlsx, .parquet), one row an item.")],
    delete_missing: Annotated[
        bool, typer.Option("--delete-missing", help="Delete the items of the catalogue that the table does not have.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing, only print what would be sent.")] = False,
    date_format: DateFormatOption = None,
) -> None:
    """Send the items of a table into the catalogue; items that are there already are not sent.

    Columns: stock_code (or sku, product_id), name, category, price, stock,
    image, url, on_sale_from, on_sale_until, blocked; any other column
    becomes an attribute. Each row is the whole item.
    Needs NEXTBASKET_KAFKA_BROKERS. Exit code 1 where rows were refused.

    Example:
      nextbasket items load products.csv
    """
    use_one_thread()
    from contextlib import closing

    from tqdm import tqdm

    from state.events.catalogue import CatalogueDecoder
    from state.settings import load_settings
    from stream.kafka.followers import read_merchandising
    from stream.kafka.publisher import KafkaPublisher
    from stream.kafka.topics import ensure_topics, wanted_topics
    from training.data.assumption import HEADING
    from training.data.tables import catalogue_table

    settings = with_date_format(load_settings(), date_format)
    table = catalogue_table.load(
        path, timezone=settings.timezone, date_format=settings.date_format, decimal_mark=settings.decimal_mark
    )
    if table.assumptions:
        echo(f"{HEADING}:")
    for assumption in table.assumptions:
        echo(f"- {assumption.sentence()}")
    loaded = decode_rows(table.rows, CatalogueDecoder(settings))
    ensure_topics(settings, wanted_topics(settings, settings.topics.items))
    catalogue = read_merchandising(settings, valid_rules=False).catalogue
    messages = list(changes(loaded.items, catalogue, settings, delete_missing=delete_missing))
    deleted = sum(message.value is None for message in messages)
    if not dry_run:
        with (
            closing(KafkaPublisher(settings)) as publisher,
            tqdm(total=len(messages), unit=" items", disable=None) as bar,
        ):
            for start in range(0, len(messages), _MESSAGES):
                publisher.publish(messages[start : start + _MESSAGES])
                bar.update(len(messages[start : start + _MESSAGES]))
    _print_ledger(loaded, len(messages) - deleted, deleted, dry_run=dry_run)
    if refused := sum(map(len, loaded.refused.values())):
        raise Failure(f"{refused:,} of {len(table.rows):,} rows were refused; the other items are in the catalogue.")


@items.command(short_help="Show an item of the catalogue.")
def show(
    stock_code: Annotated[str, typer.Argument(help="The stock code.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show an item of the catalogue, whether it may be recommended now, and the rules about it.

    Needs NEXTBASKET_KAFKA_BROKERS. Exit code 1 where the catalogue has no
    such item.

    Example:
      nextbasket items show 22613
    """
    import time

    import msgspec

    from state.domain.catalogue import unavailable
    from state.events.catalogue import encode_item
    from state.events.dialect import dialect_named
    from state.settings import load_settings
    from stream.kafka.followers import read_merchandising

    settings = load_settings()
    merchandising = read_merchandising(settings, valid_rules=False)
    stock_code = dialect_named(settings.dialect).stock_code(stock_code.strip())
    item = merchandising.catalogue.get(stock_code)
    if item is None:
        raise Failure(f"The catalogue has no item {stock_code!r}; nextbasket items load sends items into it.")
    reason = unavailable(item, int(time.time()), settings.unknown_stock)
    matching = merchandising.rules.matching(stock_code, item)
    rules = [rule.name for index, rule in enumerate(merchandising.rules.document.rules) if index in matching]
    content = msgspec.json.decode(encode_item(item))
    if as_json:
        from stream.cli.console import print_json

        print_json({**content, "invalid": item.invalid, "unavailable": reason, "rules": rules})
        return
    for name, value in content.items():
        if name not in ("type", "version"):
            echo(f"{name}: {' > '.join(value) if isinstance(value, list) else value}")
    if item.invalid is not None:
        echo(f"Its newest event is invalid: {item.invalid}")
    echo("It may be recommended." if reason is None else f"It is not recommended: {reason.replace('_', ' ')}.")
    if rules:
        echo(f"Rules about it: {', '.join(rules)}.")


def decode_rows(rows: "Iterable[tuple[int, dict[str, Any]]]", decoder: "CatalogueDecoder") -> LoadedItems:
    """The items of a table, each checked as an event would be; of rows with one stock code the last counts."""
    import msgspec

    from state.errors import InvalidEvent

    encode = msgspec.json.Encoder().encode
    found: dict[str, CatalogueItem] = {}
    refused: dict[str, list[int]] = {}
    repeated = 0
    for number, fields in rows:
        try:
            item = decoder.decode(encode(fields))
        except InvalidEvent as error:
            refused.setdefault(str(error), []).append(number)
            continue
        repeated += item.stock_code in found
        found[item.stock_code] = item
    return LoadedItems(found, refused, repeated)


def changes(
    found: "Mapping[str, CatalogueItem]", catalogue: "Catalogue", settings: "Settings", *, delete_missing: bool
) -> "Iterator[Message]":
    """The messages that bring a catalogue to some items: those that differ, and where asked the deleted ones."""
    from state.events.catalogue import encode_item
    from stream.messages import Message

    for code, item in found.items():
        if catalogue.get(code) != item:
            yield Message(settings.topics.items, code.encode(), encode_item(item))
    if delete_missing:
        for code in catalogue:
            if code not in found:
                yield Message(settings.topics.items, code.encode(), None)


def _print_ledger(loaded: LoadedItems, sent: int, deleted: int, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    echo(f"{sent:,} items {would}sent, {len(loaded.items) - sent:,} are the same as before.")
    if deleted:
        echo(f"{deleted:,} items {would}deleted, as the table does not have them.")
    if loaded.repeated:
        echo(f"{loaded.repeated:,} rows repeat a stock code: of these the last counts.")
    reasons = sorted(loaded.refused.items(), key=lambda each: -len(each[1]))
    for reason, rows in reasons[:MAX_REASONS]:
        echo(f"Refused {len(rows):,} × (first row {rows[0]:,}): {reason}")
    if len(reasons) > MAX_REASONS:
        echo(f"and {len(reasons) - MAX_REASONS:,} other reasons")
