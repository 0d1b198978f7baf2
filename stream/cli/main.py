"""The command line ``nextbasket``: a table of commands, each imported only when it is called.

A command is a function, or a ``typer.Typer`` application with commands in it, in a file of ``stream/commands``. Its
module is imported when the command runs, shows its help or completes its options. So ``--help`` is quick, and the
worker never loads TensorFlow or pandas.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from stream.cli.console import echo
from stream.cli.errors import describe_error
from stream.cli.exit_codes import ExitCode
from stream.cli.log_lines import escape_last_resort

if TYPE_CHECKING:
    from typer._click import Command

PROGRAM = "nextbasket"

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "stream.commands.demo:demo",
        "Try it here: data, training, broker, worker, live table.",
    ),
    "worker": ("stream.commands.worker:worker", "Turn invoices into recommendations until SIGTERM."),
    "api": ("stream.commands.api:api", "Serve recommendations over HTTP."),
    "api-keys": ("stream.commands.api_keys:api_keys", "Make keys for the HTTP API."),
    "replay": ("stream.commands.replay:replay", "Send an invoice table into Kafka."),
    "train": (
        "stream.commands.train:train",
        "Train a model, compare it, publish it, promote the best.",
    ),
    "evaluate": ("stream.commands.evaluate:evaluate", "Compare models on a span of days, as in production."),
    "simulate": ("stream.commands.simulate:simulate", "Make up an invoice table, where there is no data."),
    "eda": ("stream.commands.eda:eda", "Report what an invoice table holds, and its faults."),
    "export": ("stream.commands.export:export", "Write histories or recommendations as JSON Lines."),
    "now": ("stream.commands.now:now", "Show the greatest date accepted, and set it right."),
    "rebuild": ("stream.commands.rebuild:rebuild", "Restore histories that Redis lost, from Kafka and tables."),
    "erase": ("stream.commands.erase:erase", "Erase a customer, for ever."),
    "merge": ("stream.commands.merge:merge", "Merge two customers that are one person."),
    "show": ("stream.commands.show:show", "Show a customer: history, recommendation, and why."),
    "webhook": ("stream.commands.webhook:webhook", "Send due customers or recommendations to an HTTP endpoint."),
    "refresh": ("stream.commands.refresh:refresh", "Show or ask for the refresh of recommendations."),
    "similar": ("stream.commands.similar:similar", "Show similar items, or similar customers."),
    "due": ("stream.commands.due:due", "List who is likely to buy soon, with their baskets."),
    "models": ("stream.commands.models:models", "List, promote and roll back models."),
    "items": ("stream.commands.items:items", "Load the catalogue, and show an item of it."),
    "rules": ("stream.commands.rules:rules", "Show, check and set the rules that recommendations obey."),
    "redrive": ("stream.commands.redrive:redrive", "Send dead letters back once their cause is gone."),
}
"""Command: (``module:attribute``, the line ``nextbasket --help`` shows)."""


class LazyCommands(TyperGroup):
    """A group that lists its commands without importing them, and imports the one that is called."""

    def __init__(self, **options: Any) -> None:
        options["commands"] = {name: TyperCommand(name, help=line) for name, (_, line) in COMMANDS.items()}
        super().__init__(**options)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, "Command | None", list[str]]:
        """Find a command by its name and import it; shell completion calls this too."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and command else None, rest


def load_command(name: str) -> "Command":
    """Import the module of a command and build it; its help ends with the module's ``EPILOG``, if it has one.

    Raises:
        ModuleNotFoundError: A package that the command needs is not installed.
    """
    module, attribute = COMMANDS[name][0].split(":")
    loaded = importlib.import_module(module)
    target = getattr(loaded, attribute)
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False)
        target.command(name=name, no_args_is_help=False, epilog=getattr(loaded, "EPILOG", None))(function)
    command = typer.main.get_command(target)
    command.name = name
    return command


app = typer.Typer(
    name=PROGRAM,
    cls=LazyCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Invoices in over Kafka, explained and calibrated next baskets out.

    Settings come from NEXTBASKET_* environment variables (docs/reference/settings.md).
    Exit codes are on docs/reference/commands.md.

    Start with: nextbasket demo
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    An error is printed as one sentence; its traceback is raised only where the log level is debug.
    """
    # Without this TensorFlow, where a command loads it, prints lines about processors and missing GPUs.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    escape_last_resort()
    try:
        typer.main.get_command(app)(args=arguments, prog_name=PROGRAM)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK if end.code is None else ExitCode.NEGATIVE
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("NEXTBASKET_LOG_LEVEL", "").lower() == "debug":
            raise
        given = sys.argv[1:] if arguments is None else arguments
        code, sentence = describe_error(error, next((word for word in given if word in COMMANDS), ""))
        echo(f"{PROGRAM}: {sentence}", err=True)
        return code
    return ExitCode.OK
