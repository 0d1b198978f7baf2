"""``nextbasket export``: what the state holds, as JSON Lines sorted by customer."""

import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from state.store import Store
    from stream.export import Entry


class What(StrEnum):
    """What can be exported."""

    HISTORIES = "histories"
    RECOMMENDATIONS = "recommendations"


def export(
    what: Annotated[What, typer.Argument(help="histories (the canonical form), or recommendations last sent.")],
    output: Annotated[Path | None, typer.Option(help="File to write; standard output unless given.")] = None,
) -> None:
    """Write all histories or recommendations, one line of JSON a customer, sorted by customer.

    Two states are the same when their histories are the same, byte for byte.

    Example: nextbasket export histories --output histories.jsonl
    """
    from state.redis_store import RedisStore
    from state.settings import load_settings
    from stream.export import in_order, whole_file

    count = 0
    with closing(RedisStore(load_settings())) as store:
        entries = _histories(store) if what is What.HISTORIES else _recommendations(store)
        with nullcontext(sys.stdout.buffer) if output is None else whole_file(output) as file:
            for line in in_order(entries):
                file.write(line + b"\n")
                count += 1
    if output is not None:
        typer.echo(f"Wrote {count:,} {what.value} to {output}.")


def _histories(store: "Store") -> "Iterator[Entry]":
    from state.history import canonical

    for history in store.histories():
        if (line := canonical(history)) is not None:
            yield history.customer_id, line


def _recommendations(store: "Store") -> "Iterator[Entry]":
    import msgspec

    for recommendation in store.recommendations():
        yield recommendation.customer_id, msgspec.json.encode(recommendation)
