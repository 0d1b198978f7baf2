"""``nextbasket api-keys``: keys for ``nextbasket api``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure

api_keys = typer.Typer(add_completion=False, no_args_is_help=True)


@api_keys.callback()
def _keys() -> None:
    """Make keys for nextbasket api.

    Example:
      nextbasket api-keys new storefront --scope read --file keys
    """


@api_keys.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Who uses the key; it is shown in messages and counts.")],
    scope: Annotated[
        list[str], typer.Option(help="read, ingest, merchandise or admin, which includes the others; may be repeated.")
    ],
    file: Annotated[
        Path | None, typer.Option(help="Append the entry to this file (NEXTBASKET_API_KEYS_FILE).", show_default=False)
    ] = None,
) -> None:
    """Make a key. It is printed once, and only its hash is stored.

    The key goes to standard output; the entry with its hash goes to the file, or to standard error.

    Example:
      nextbasket api-keys new storefront --scope read --scope ingest --file keys
    """
    from stream.api.keys import Scope, new_key

    try:
        made = new_key(name, [Scope(each) for each in scope])
    except ValueError as error:
        raise Failure(f"{error}; the scopes are {', '.join(Scope)}.", ExitCode.USAGE) from None
    if file is None:
        echo(f"Entry for NEXTBASKET_API_KEYS, or its file: {made.line}", err=True)
    else:
        # A new file is for its owner only.
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as out:
            out.write(f"{made.line}\n")
        echo(f"Appended to {file}; nextbasket api takes it within a second. The key is shown only here:", err=True)
    echo(made.key)
