"""The command line ``nextbasket``: commands by name, each loaded only when it is called, and errors as one sentence.

A command is a function (or a ``typer.Typer`` application with commands of its own) in a file of ``stream/commands``.
The table below names it; nothing is imported until it runs, so that ``--help`` is quick and the worker never pays for
TensorFlow or pandas.
"""

import importlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from stream.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from typer._click import Command

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "stream.commands.demo:demo",
        "See it work: data, training, broker, worker and a live table, on this machine.",
    ),
    "worker": ("stream.commands.worker:worker", "Turn invoices into recommendations until SIGTERM."),
    "replay": ("stream.commands.replay:replay", "Send an invoice table into Kafka."),
    "train": (
        "stream.commands.train:train",
        "Train a model, compare it with champion and baselines, publish the best.",
    ),
    "evaluate": ("stream.commands.evaluate:evaluate", "Compare models on a span of days, as in production."),
    "simulate": ("stream.commands.simulate:simulate", "Make up a shop's invoices, where there is no data."),
    "eda": ("stream.commands.eda:eda", "Show what a table holds, and what is wrong with it."),
    "export": ("stream.commands.export:export", "Write histories or recommendations as JSON Lines."),
    "show": ("stream.commands.show:show", "Show one customer: history, recommendation, and why."),
    "similar": ("stream.commands.similar:similar", "Show the items, or customers, most like one."),
    "models": ("stream.commands.models:models", "List, promote and roll back models."),
    "redrive": ("stream.commands.redrive:redrive", "Send dead letters back once their cause is gone."),
}
"""Command: (``module:attribute``, the line ``nextbasket --help`` shows)."""

_UNREACHABLE = "Is it running, and does {setting} point at it?"
ERRORS: dict[str, tuple[ExitCode, str]] = {
    "state.errors:SettingsError": (ExitCode.SETTINGS, ""),
    "state.errors:InvalidEvent": (ExitCode.DATA, ""),
    "state.errors:StoreUnavailable": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_REDIS_URL")),
    "state.errors:StateError": (ExitCode.UNREACHABLE, ""),
    "stream.errors:BrokerUnavailable": (
        ExitCode.UNREACHABLE,
        _UNREACHABLE.format(setting="NEXTBASKET_KAFKA_BROKERS"),
    ),
    "stream.errors:StreamError": (ExitCode.UNREACHABLE, ""),
    "training.data.errors:DataError": (ExitCode.DATA, ""),
    "training.errors:UnknownModel": (ExitCode.USAGE, ""),
    "training.errors:SplitError": (ExitCode.USAGE, ""),
    "training.errors:TrainingError": (ExitCode.DATA, ""),
    "training.registry.errors:RegistryError": (ExitCode.REGISTRY, ""),
    "kafka.errors:KafkaError": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_KAFKA_BROKERS")),
    "aiokafka.errors:KafkaError": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_KAFKA_BROKERS")),
    "cimpl:KafkaException": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_KAFKA_BROKERS")),
    "redis.exceptions:RedisError": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_REDIS_URL")),
    "builtins:ModuleNotFoundError": (ExitCode.SETTINGS, "Install the package, or run the command that needs none."),
    "builtins:OSError": (ExitCode.DATA, "Check the path and its permissions."),
}
"""Expected errors by ``module:class`` (a subclass counts as its nearest listed base): exit code, and what to do where
the message does not say it. By name: importing Kafka, Redis and pandas to catch their errors would cost seconds."""


class LazyCommands(TyperGroup):
    """A group that imports a command's module only when that command runs."""

    def __init__(self, **options: Any) -> None:
        options["commands"] = {name: TyperCommand(name, help=line) for name, (_, line) in COMMANDS.items()}
        super().__init__(**options)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, "Command | None", list[str]]:
        """Find a command by its name, and load it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and command else None, rest


def load_command(name: str) -> "Command":
    """Import the module of a command and build it.

    Raises:
        ModuleNotFoundError: A package that the command needs is not installed.
    """
    module, attribute = COMMANDS[name][0].split(":")
    target = getattr(importlib.import_module(module), attribute)
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False)
        target.command(name=name, no_args_is_help=False)(function)
    command = typer.main.get_command(target)
    command.name = name
    return command


app = typer.Typer(
    name="nextbasket",
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def _root() -> None:
    """Invoices in over Kafka, explained and calibrated next baskets out.

    Settings come from NEXTBASKET_* environment variables (docs/reference/settings.md).
    Exit codes are on docs/reference/commands.md.
    """


def explain(error: BaseException) -> tuple[ExitCode, str]:
    """The exit code of an error and the sentence that is shown for it."""
    name = type(error).__name__
    said = " ".join(str(error).split()).removeprefix(f"{name}: ") or name
    if isinstance(error, Failure):
        return error.code, said
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED, "Interrupted."
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        said = f"{error.strerror}: {error.filename}"
    for base in type(error).__mro__:
        if known := ERRORS.get(f"{base.__module__}:{base.__qualname__}"):
            return known[0], _sentence(said, known[1])
    return ExitCode.INTERNAL, _sentence(
        f"{name}: {said}",
        "This is a mistake in nextbasket; NEXTBASKET_LOG_LEVEL=debug shows where.",
    )


def _sentence(said: str, advice: str) -> str:
    ended = said if said.endswith((".", "!", "?")) else f"{said}."
    return f"{ended} {advice}".rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code and never lets a traceback out, unless the log level is debug."""
    # TensorFlow, where a command loads it, talks of processors and missing GPUs unless told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        typer.main.get_command(app)(args=arguments, prog_name="nextbasket")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK if end.code is None else ExitCode.NEGATIVE
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("NEXTBASKET_LOG_LEVEL", "").lower() == "debug":
            raise
        code, sentence = explain(error)
        typer.echo(f"nextbasket: {sentence}", err=True)
        return code
    return ExitCode.OK
