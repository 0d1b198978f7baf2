"""``nextbasket train``: fit, judge, publish and promote, once or again and again."""

import re
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from state.events.invoice import Invoice
    from state.settings import Settings
    from training.data.cleaning.ledger import Ledger
    from training.trainer import RoundResult, TrainingPlan

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def train(
    data: Annotated[
        Path | None, typer.Option(help="An invoice table or a folder that holds one; NEXTBASKET_DATA unless given.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Use what is dated before this date; everything unless given.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name of the model, options behind colons (hybrid:representation=relu:width=32).")
    ] = "basket_lstm",
    every: Annotated[str | None, typer.Option(help="Train again and again, this long apart: 90s, 30m, 6h, 1d.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="NEXTBASKET_SEED unless given.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the data; the model's own unless given.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for the loss of every epoch: tensorboard --logdir FOLDER shows it.")
    ] = None,
    judge_days: Annotated[int, typer.Option(min=1, help="Judge on the last days, this many.")] = 28,
    refit: Annotated[
        bool, typer.Option("--refit/--no-refit", help="Fit a promoted model once more, with the days it was judged on.")
    ] = True,
) -> None:
    """Train a model, compare it with the one that serves and with baselines, publish it, promote it if it is better.

    Reads the table and, where NEXTBASKET_KAFKA_BROKERS is set, the topic of invoices. Exit code 1 where nothing was
    promoted. A training that is broken off (Ctrl-C) is kept in NEXTBASKET_CACHE after every epoch, and the same command
    goes on from there.

    Options of a model stand behind its name, as for evaluate: --model hybrid:loss=balanced_wmrb:representation=relu.
    One that it does not have ends in a list of those it has.

    Example: nextbasket train --data online_retail.xlsx --until 2011-11-09
    """
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging
    from training.evaluation.split import parse_instant
    from training.evaluation.variants import make_variant, model_options, parse_variant
    from training.models import options_of
    from training.trainer import TrainingPlan

    settings = load_settings()
    pause = None if every is None else duration(every)
    if pause is not None or "log_level" in settings.model_fields_set:  # people read what is printed, not a log
        configure_logging(settings)
    before = None if until is None else parse_instant(until, settings.timezone)
    asked = parse_variant(model)
    taken = options_of(make_variant(asked))  # a wrong name or option ends here, not after the data was read
    options = model_options(asked)
    for option, value in (("epochs", epochs), ("tensorboard", tensorboard)):
        if value is not None and option not in taken:
            raise Failure(f"The model {asked.model} has no {option}; leave --{option} out.", ExitCode.USAGE)
        if value is not None:
            options.setdefault(option, value)
    if "keep" in taken:
        options.setdefault("keep", settings.cache / "training")
    plan = TrainingPlan(
        model=asked.model,
        options=options,
        seed=settings.seed if seed is None else seed,
        window=settings.window,
        evaluation_days=judge_days,
        refit=refit,
    )
    if pause is None:
        began = time.time()
        try:
            outcome = _round(settings, data, before, plan)
        except KeyboardInterrupt:
            kept = options.get("keep")
            goes_on = kept is not None and any(file.stat().st_mtime >= began - 1.0 for file in kept.glob("*.npz"))
            again = "; epochs that are done are kept, and the same command goes on from them" if goes_on else ""
            raise Failure(f"Interrupted{again}.", ExitCode.INTERRUPTED) from None
        if outcome.promoted is None:
            raise typer.Exit(ExitCode.NEGATIVE)
    else:
        _repeat(settings, data, before, plan, pause)


class _Ended(BaseException):
    """A signal ended repeated training. Not KeyboardInterrupt: Python may end by SIGINT even where that was caught."""


def duration(text: str) -> float:
    """Seconds of a duration such as ``6h`` or ``90s``.

    Raises:
        Failure: It is none.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text.strip().lower())
    if not match or not float(match[1]):
        raise Failure(f"{text!r} is no duration; it looks like 90s, 30m, 6h or 1d.", ExitCode.USAGE)
    return float(match[1]) * _UNITS[match[2]]


def _repeat(settings: "Settings", data: Path | None, until: int | None, plan: "TrainingPlan", pause: float) -> None:
    """Rounds that begin ``pause`` seconds apart until SIGTERM or SIGINT; after one that fails the next is tried."""
    import logging
    import signal

    from stream.cli.errors import describe_error

    logger = logging.getLogger(__name__)

    told = False

    def end(number: int, frame: object) -> None:
        nonlocal told
        told = True  # for where an exception is lost, as in the end of an object's life
        raise _Ended  # out of a wait or a fit, which would take minutes to notice

    held = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not told:
            began = time.monotonic()
            try:
                _round(settings, data, until, plan)
            except Exception as error:
                wait = max(0.0, pause - (time.monotonic() - began))
                debug = logger.isEnabledFor(logging.DEBUG)
                logger.error(
                    "This round failed, the next begins in %.0f s: %s", wait, describe_error(error)[1], exc_info=debug
                )
            time.sleep(max(0.0, pause - (time.monotonic() - began)))
    except _Ended:
        pass
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    typer.echo("Ended.", err=True)


def _round(settings: "Settings", data: Path | None, until: int | None, plan: "TrainingPlan") -> "RoundResult":
    from datetime import UTC

    from stream.cli.progress import show_progress
    from training.registry import Registry
    from training.serving.load import load_scorer
    from training.trainer import train as one_round

    with show_progress():
        clock = int(time.time())
        log, ledger = read_log(settings, data, clock)
        if not log:
            raise Failure(
                "There are no purchases of known customers to learn from: look at what the cleaning left out.",
                ExitCode.DATA,
            )
        outcome = one_round(
            log,
            Registry(settings.registry_url, cache=settings.cache),
            load_scorer,
            plan,
            until=log[-1].date + 1 if until is None else until,
            clock=datetime.now(UTC),
            ledger=ledger,
        )
    _print(outcome)
    return outcome


def read_log(settings: "Settings", data: Path | None, clock: int) -> tuple[Sequence["Invoice"], "Ledger | None"]:
    """The log of the table and, where brokers are set, of the topic; and the cleaning's ledger, which is printed.

    Raises:
        Failure: Neither a table nor brokers are given.
        DataError: The table cannot be read, or nothing of it is left.
        KafkaError: Kafka does not answer.
    """
    from training import progress
    from training.data.log import merge_logs, read_table

    path = settings.data if data is None else data
    if path is None and not settings.brokers:
        raise Failure("There is nothing to learn from: give --data PATH, or set NEXTBASKET_DATA.", ExitCode.USAGE)
    table_log: Sequence[Invoice] = []
    ledger = None
    if path is not None:
        progress.stage("reading")
        table_log, ledger = read_table(path, settings, clock=clock)
        for line in ledger.lines():
            typer.echo(line)
        settings = settings.model_copy(update={"dialect": ledger.dialect})
    if not settings.brokers:
        if ledger is not None:
            ledger.require_purchases()
        return table_log, ledger
    from stream.kafka.topic_reader import read_topic

    progress.stage("reading the topic")
    topic = read_topic(settings, clock=clock)
    typer.echo(
        f"topic {settings.topics.invoices}: {topic.events:,} events, {topic.invalid:,} of them invalid and passed over"
    )
    return merge_logs(table_log, topic.invoices), ledger


def _print(outcome: "RoundResult") -> None:
    from rich.table import Table

    from stream.cli.console import table_console
    from training.evaluation.split import format_day
    from training.trainer import EMISSION

    shown = ("ndcg@10", "recall@10", "hit@1", "recall@20_new")
    table = Table(
        title=f"Judged on {outcome.invoices:,} invoices from {format_day(outcome.judged.start)} on, "
        "none of them known before",
        title_justify="left",
    )
    table.add_column("model", no_wrap=True)
    table.add_column("moment", no_wrap=True)
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for moment, before in (("visit", ""), ("emission", EMISSION)):
        for model, values in outcome.metrics.items():
            row = [values.get(before + name) for name in shown]
            table.add_row(model, moment, *("–" if value is None else f"{value:.4f}" for value in row))
    table_console().print(table)
    for note in outcome.notes:
        typer.echo(note)
    typer.echo(outcome.decision.reason)
    if outcome.promoted == outcome.version:
        typer.echo(f"Published and promoted {outcome.model} {outcome.version}.")
    elif outcome.promoted is not None:
        typer.echo(
            f"Published {outcome.model} {outcome.version}, not promoted. "
            f"{outcome.decision.fallback} {outcome.promoted} serves instead."
        )
    else:
        typer.echo(f"Published {outcome.model} {outcome.version}, not promoted: the champion serves on.")
