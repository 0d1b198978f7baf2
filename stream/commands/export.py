"""``nextbasket export``: what the state holds, as JSON Lines sorted by customer or stock code."""

import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from state.domain.attributes import DatedAttributes
    from state.store.protocol import Store
    from stream.tools.export import Entry


class What(StrEnum):
    """What can be exported."""

    HISTORIES = "histories"
    RECOMMENDATIONS = "recommendations"
    CUSTOMERS = "customers"
    ITEMS = "items"


def export(
    what: Annotated[
        What,
        typer.Argument(
            help="histories (the canonical form), recommendations last sent, or the attributes of customers or items."
        ),
    ],
    output: Annotated[Path | None, typer.Option(help="File to write; standard output unless given.")] = None,
) -> None:
    """Write histories, recommendations or attributes, one line of JSON a customer or item, sorted.

    Two states are the same when their histories are the same, byte for byte, and so are their attributes.

    Example: nextbasket export histories --output histories.jsonl
    """
    from state.settings import load_settings
    from state.store.redis.store import RedisStore
    from stream.tools.export import in_order, whole_file

    count = 0
    with closing(RedisStore(load_settings())) as store:
        entries = _ENTRIES[what](store)
        with nullcontext(sys.stdout.buffer) if output is None else whole_file(output) as file:
            for line in in_order(entries):
                file.write(line + b"\n")
                count += 1
    if output is not None:
        typer.echo(f"Wrote {count:,} {what.value} to {output}.")


def _histories(store: "Store") -> "Iterator[Entry]":
    from state.domain.history import canonical_json

    for history in store.histories():
        if (line := canonical_json(history)) is not None:
            yield history.customer_id, line


def _recommendations(store: "Store") -> "Iterator[Entry]":
    import msgspec

    for recommendation in store.recommendations():
        yield recommendation.customer_id, msgspec.json.encode(recommendation)


def _customers(store: "Store") -> "Iterator[Entry]":
    for history in store.histories():
        if history.dated_attributes:
            yield history.customer_id, _known({"customer_id": history.customer_id}, history.dated_attributes)


def _items(store: "Store") -> "Iterator[Entry]":
    for code, state in store.items().states.items():
        if state.dated_attributes:
            yield code, _known({"stock_code": code}, state.dated_attributes)


def _known(of: dict[str, str], dated: "DatedAttributes") -> bytes:
    """A line that holds all that the state does, so that attributes can be set up again of it, or told apart."""
    import msgspec

    from state.events.dates import to_iso

    attributes = {key: {"value": value, "date": to_iso(date)} for key, (date, value) in dated.items()}
    return msgspec.json.encode({**of, "attributes": attributes})


_ENTRIES = {
    What.HISTORIES: _histories,
    What.RECOMMENDATIONS: _recommendations,
    What.CUSTOMERS: _customers,
    What.ITEMS: _items,
}
