"""What commands print: lines, tables and JSON, without the control characters of ids, codes and texts in them.

Commands print by these functions only, not by ``typer.echo`` (ruff's TID251): what they print comes from events,
tables, files and other processes.
"""

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def echo(text: object = "", *, err: bool = False) -> None:
    """Print lines; ``err``: to standard error. Control characters but line breaks and tabs are escaped."""
    from state.events.control_characters import escape_control

    typer.echo(escape_control(str(text), but="\n\t"), err=err)


def cell(text: str) -> str:
    """A text for a cell of a table: without markup, control characters escaped."""
    from rich.markup import escape

    from state.events.control_characters import escape_control

    return escape(escape_control(text))


def table_console() -> "Console":
    """A console as wide as the terminal, or wide enough for every table where the output is no terminal."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=200)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON, in one line where ``indent`` is None."""
    import msgspec

    from state.events.control_characters import escape_control_in_json

    json = msgspec.json.encode(value)
    typer.echo(escape_control_in_json((json if indent is None else msgspec.json.format(json, indent=indent)).decode()))


def print_erased(invoices: int, *, err: bool = False) -> None:
    """Print how many invoices of erased customers were passed over, where there are any."""
    if invoices:
        from state.wording import count

        echo(f"{count(invoices, 'invoice')} of erased customers passed over.", err=err)
