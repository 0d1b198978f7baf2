"""``nextbasket train``: fit, evaluate, publish and promote a model, once or repeatedly."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from state.wording import count
from stream.cli.console import echo, print_erased
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.options import (
    DataOption,
    DateFormatOption,
    SeedOption,
    data_path,
    parse_date_option,
    parse_duration,
    with_date_format,
)
from stream.cli.threads import choose_kernels

if TYPE_CHECKING:
    from state.events.invoice import Invoice
    from state.settings import Settings
    from stream.pipeline.tracing import Tracing
    from training.data.cleaning.ledger import Ledger
    from training.trainer import RoundResult, TrainingPlan


class Engine(StrEnum):
    """Where the parts of a table are cleaned."""

    PROCESSES = "processes"
    RAY = "ray"


def train(
    data: DataOption = None,
    date_format: DateFormatOption = None,
    until: Annotated[
        str | None, typer.Option(help="Use only what is dated before this date. Default: everything.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name of the model, with options behind colons, such as hybrid:width=32.")
    ] = "basket_lstm",
    every: Annotated[
        str | None, typer.Option(help="Repeat: time from one start to the next, such as 90s, 30m, 6h, 1d.")
    ] = None,
    seed: SeedOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data. Default: the model's.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for the losses, to look at with tensorboard --logdir FOLDER.")
    ] = None,
    judge_days: Annotated[int, typer.Option(min=1, help="Evaluate on this many last days of the data.")] = 28,
    engine: Annotated[
        Engine, typer.Option(help="Where large data is prepared: in processes of this machine, or on a Ray cluster.")
    ] = Engine.PROCESSES,
    refit: Annotated[
        bool, typer.Option("--refit/--no-refit", help="Fit a promoted model again with all days before it serves.")
    ] = True,
) -> None:
    """Train a model, compare it with the one that serves and with baselines, publish it, and promote it if it is best.

    Reads the table and, if NEXTBASKET_KAFKA_BROKERS is set, the topic of
    invoices. Exit code 1 if nothing was promoted.

    An interrupted training (Ctrl-C) can be resumed by the same command: a
    checkpoint is written to NEXTBASKET_CACHE after every epoch.

    Several options of a model: --model hybrid:loss=balanced_wmrb:width=32.
    An unknown one ends in a list of those the model has.

    Example:
      nextbasket train --data online_retail.xlsx --until 2011-11-09
    """
    choose_kernels()
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging
    from stream.trace_export import recorded_traces
    from training.engine import running
    from training.evaluation.variants import make_variant, model_options, parse_variant
    from training.models import options_of
    from training.trainer import TrainingPlan

    settings = with_date_format(load_settings(), date_format)
    interval_s = None if every is None else parse_duration(every)
    configure_logging(settings, only_if_level_set=interval_s is None)
    until_seconds = parse_date_option(until, settings)
    variant = parse_variant(model)
    accepted = options_of(make_variant(variant))  # a wrong name or option ends here, not after the data was read
    options = model_options(variant)
    run_engine = partial(running, engine.value, settings.ray_address)
    for option, value in (("epochs", epochs), ("tensorboard", tensorboard)):
        if value is not None and option not in accepted:
            raise Failure(f"The model {variant.model} has no {option}; leave --{option} out.", ExitCode.USAGE)
        if value is not None:
            options.setdefault(option, value)
    if "keep" in accepted:
        options.setdefault("keep", settings.cache / "training")
    plan = TrainingPlan(
        model=variant.model,
        options=options,
        seed=settings.seed if seed is None else seed,
        window=settings.window,
        evaluation_days=judge_days,
        refit=refit,
    )
    if interval_s is None:
        began = time.time()
        try:
            with recorded_traces(SERVICE, settings) as tracing, run_engine():
                result = _traced(tracing, lambda: _round(settings, data, until_seconds, plan))
        except KeyboardInterrupt:
            folder = options.get("keep")
            resumable = folder is not None and any(file.stat().st_mtime >= began - 1.0 for file in folder.glob("*.npz"))
            advice = "; the same command goes on from the last finished epoch" if resumable else ""
            raise Failure(f"Interrupted{advice}.", ExitCode.INTERRUPTED) from None
        if result.promoted is None:
            raise typer.Exit(ExitCode.NEGATIVE)
    else:
        with run_engine():
            _repeat(settings, data, until_seconds, plan, interval_s)


SERVICE = "nextbasket-trainer"


class _Stopped(BaseException):
    """A signal ended repeated training. Not KeyboardInterrupt: Python may end by SIGINT even where that was caught."""


def _repeat(
    settings: "Settings", data: Path | None, until: int | None, plan: "TrainingPlan", interval_s: float
) -> None:
    """Train every ``interval_s`` seconds until SIGTERM or SIGINT; see ``TrainingRounds``.

    Serves metrics and health where a port is set.
    """
    import signal
    from contextlib import ExitStack

    from stream.health import Health, serve_health
    from stream.monitoring import TrainingMetrics
    from stream.trace_export import recorded_traces
    from stream.training_rounds import TrainingRounds

    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True  # the exception may be lost, where the signal comes during the finalizer of an object
        raise _Stopped  # ends a wait or a fit at once

    def run_round() -> bool:
        return _traced(tracing, lambda: _round(settings, data, until, plan, rounds.progressed)).promoted is not None

    metrics = TrainingMetrics()
    rounds = TrainingRounds(run_round, lambda: _events(settings), interval_s, metrics)
    health = Health()
    health.add_liveness("loop", rounds.hangs)
    health.add("training", rounds.last_failure)
    with ExitStack() as closes:
        tracing = closes.enter_context(recorded_traces(SERVICE, settings))
        if settings.metrics_port:
            server = serve_health(settings.metrics_host, settings.metrics_port, metrics.registry, health)
            closes.callback(server.close)
            echo(f"Metrics and health are on port {server.describe(settings.metrics_port)}.", err=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            closes.callback(signal.signal, number, signal.signal(number, stop))
        try:
            while not stopping:
                rounds.run_next()
        except _Stopped:
            pass
    echo("Ended.", err=True)


def _traced(tracing: "Tracing", run: "Callable[[], RoundResult]") -> "RoundResult":
    """The result of a round, which is one span of a trace."""
    with tracing.training_round() as trace:
        result = run()
        trace.ended(result.model, result.version, promoted=result.promoted == result.version)
    return result


def _events(settings: "Settings") -> int:
    """The number of events in the topic of invoices; 0 where no broker is set or none answers."""
    from kafka.errors import KafkaError

    from stream.kafka.topic_reader import count_events

    if not settings.brokers:
        return 0
    try:
        return count_events(settings)
    except KafkaError:  # the round reports it
        return 0


def _round(
    settings: "Settings",
    data: Path | None,
    until: int | None,
    plan: "TrainingPlan",
    on_progress: Callable[[], None] = lambda: None,
) -> "RoundResult":
    from datetime import UTC

    from state.events.shop_dialect import in_words, shop_dialect
    from stream.cli.progress import show_progress
    from stream.cli.registry import open_registry
    from training.serving.load import load_scorer
    from training.trainer import train as train_round

    registry = open_registry(settings)
    registry.require_signer()
    with show_progress(on_progress):
        clock = int(time.time())
        log, ledger = read_log(settings, data, clock)
        if not log:
            raise Failure(
                "There are no purchases of known customers to train on: look at what the cleaning left out.",
                ExitCode.DATA,
            )
        dialect = shop_dialect(settings, None if ledger is None else ledger.dialect)
        echo(f"Training {in_words(dialect)}, zone {dialect.timezone}; a worker must read invoices in the same dialect.")
        result = train_round(
            log,
            registry,
            partial(load_scorer, dialect=dialect),
            plan,
            until=log[-1].date + 1 if until is None else until,
            clock=datetime.fromtimestamp(clock, UTC),  # before the erased customers were read: see models prune
            ledger=ledger,
            dialect=dialect,
        )
    _print(result)
    return result


def read_log(settings: "Settings", data: Path | None, clock: int) -> tuple[Sequence["Invoice"], "Ledger | None"]:
    """Read the table and, where brokers are set, the topic of invoices; print what was left out.

    Returns:
        The log, and the ledger of the table's cleaning (None without a table).

    Raises:
        Failure: Neither a table nor brokers are given, or there is no table and the topic is empty.
        DataError: The table cannot be read, or the cleaning left nothing.
        KafkaError: Kafka does not answer.
    """
    from state.domain.identities import Resolver
    from stream.kafka.customer_log import known_customers
    from training import progress
    from training.data.log import merge_logs, read_table
    from training.data.tables.detection import are_uci
    from training.engine import map_parts

    table_log: Sequence[Invoice] = []
    ledger = None
    known = known_customers(settings)
    resolver = Resolver(known)
    if data is not None or settings.data is not None or not settings.brokers:
        path = data_path(data, settings)
        progress.stage("reading")
        table_log, ledger = read_table(path, settings, clock=clock, resolve=resolver, map_parts=map_parts)
        for line in ledger.lines():
            echo(line)
        print_erased(resolver.erased)
        settings = settings.model_copy(update={"dialect": ledger.dialect})
    if not settings.brokers:
        if ledger is not None:
            ledger.require_purchases()
        return table_log, ledger
    from stream.kafka.topic_reader import read_topic

    progress.stage("reading the topic")
    topic = read_topic(settings, clock=clock, known=known)
    echo(
        f"topic {settings.topics.invoices}: {count(topic.events, 'event')}, {topic.invalid:,} of them invalid and "
        "skipped"
    )
    print_erased(topic.erased)
    if ledger is None and not topic.events:
        raise Failure(
            f"The topic {settings.topics.invoices} has no events yet; send invoices, or replay a table with nextbasket "
            "replay.",
            ExitCode.DATA,
        )
    if settings.dialect == "plain" and are_uci(topic.invoices):
        echo(
            "The invoices of the topic are UCI Online Retail's, but they are read in the dialect plain, so postage, "
            "fees and other codes that are no products count as products. NEXTBASKET_DIALECT=uci leaves them out."
        )
    return merge_logs(table_log, topic.invoices), ledger


def _print(result: "RoundResult") -> None:
    from rich.table import Table

    from stream.cli.console import table_console
    from training.evaluation.split import format_day
    from training.trainer import EMISSION_PREFIX

    metrics = ("ndcg@10", "recall@10", "hit@1", "recall@20_new")
    table = Table(
        title=f"Evaluated on {count(result.n_cases, 'invoice')} from {format_day(result.evaluation_span.start)} on, "
        "none of which the models were trained on",
        title_justify="left",
    )
    table.add_column("model", no_wrap=True)
    table.add_column("moment", no_wrap=True)
    for name in metrics:
        table.add_column(name, justify="right", no_wrap=True)
    for moment, prefix in (("visit", ""), ("emission", EMISSION_PREFIX)):
        for model, values in result.metrics.items():
            row = [values.get(prefix + name) for name in metrics]
            table.add_row(model, moment, *("–" if value is None else f"{value:.4f}" for value in row))
    table_console().print(table)
    for note in result.notes:
        echo(note)
    echo(result.decision.reason)
    if result.promoted == result.version:
        echo(f"Published and promoted {result.model} {result.version}.")
    elif result.promoted is not None:
        echo(
            f"Published {result.model} {result.version}, not promoted. "
            f"{result.decision.fallback} {result.promoted} serves instead."
        )
    else:
        echo(f"Published {result.model} {result.version}, not promoted: the champion stays current.")
