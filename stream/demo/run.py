"""The demo step by step: data, training, histories, a worker, the replay of the newest invoices, what to try next."""

import io
import os
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from state.events.invoice import Invoice
from state.events.shop_dialect import shop_dialect
from state.settings import Settings
from state.store.claim import claim_store
from state.store.redis.store import RedisStore
from stream.cli.exit_codes import ExitCode
from stream.demo.baseline import BaselineRanker
from stream.demo.console import StepPrinter, print_wrapped
from stream.demo.environment import (
    WorkerProcess,
    demo_settings,
    require_running,
    run_api_process,
    run_worker_process,
    settings_variables,
)
from stream.demo.interruption import Interrupted, ignore_signals
from stream.demo.merchandising import demo_merchandising
from stream.demo.next_steps import write_next_steps
from stream.demo.replay import WorkerReplay, last_invoices, load_histories
from stream.demo.screen import LiveScreen, PlainScreen, join_parts, render_screen, summary_parts
from stream.demo.statistics import ReplayStatistics
from stream.demo.topic_watcher import TopicWatcher
from stream.demo.training import MODEL, fit_baseline, read_log, split_log, train_model
from stream.kafka.config import kafka_python_config
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import ensure_topics
from stream.tools.embedded import embedded_kafka, embedded_redis

_WORKER_CHECK_S = 1.0
_PICTURE_SIZE = 118, 100
"""Columns of the picture, and lines it may have."""


@dataclass(frozen=True)
class DemoOptions:
    """The options of the command.

    Attributes:
        data: The table.
        events: Invoices to replay.
        rate: Invoices a second.
        picture: File for the last screen.
        keep: Whether worker, Kafka and Redis run on after the replay, until a signal.
    """

    data: Path | None
    events: int
    rate: float
    picture: Path | None = None
    keep: bool = False


def run_demo(options: DemoOptions) -> ExitCode:
    """Run the demo to its end, or to a signal, and end all processes and remove all files that it made.

    To be called inside ``raise_on_signals``.

    Raises:
        DataError: The data cannot be read.
        TrainingError: There is too little of it.
        Failure: The worker ended, or published nothing.
    """
    demo = _Demo(options, Console())
    with ExitStack() as stack:
        try:
            demo.run(stack)
        except (Interrupted, KeyboardInterrupt):  # a library may raise the second one by itself
            ignore_signals()
            demo.print_interrupted()
            return ExitCode.INTERRUPTED
        finally:
            ignore_signals()  # what follows ends the processes
    return ExitCode.OK


class _Demo:
    """One run: its console, how far it is, and the figures of its replay."""

    def __init__(self, options: DemoOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._steps = StepPrinter(console)
        self._phase = "reading the data"
        self._statistics: ReplayStatistics | None = None
        self._waiting = False
        """Whether the replay is over and the servers stay up."""

    def run(self, stack: ExitStack) -> None:
        """Run all steps; ``stack`` ends what they start."""
        from kafka import KafkaProducer

        options, console, steps = self._options, self._console, self._steps
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-demo-")))

        log, dialect = read_log(options.data, steps.print)
        training_log, replayed = split_log(log, options.events)
        day = datetime.fromtimestamp(replayed[0].date, UTC).date()
        steps.print(f"Training: {len(training_log):,} invoices before {day}. Replay: {len(replayed):,} from then on.")

        self._phase = "starting Kafka and Redis"
        brokers = stack.enter_context(embedded_kafka())
        redis_url = stack.enter_context(embedded_redis())
        settings = demo_settings(folder, brokers, redis_url, dialect)
        steps.print("Kafka (librdkafka's mock) and Redis (Valkey) run in this command.")

        self._phase = "training"
        version = train_model(log, replayed[0].date, settings, folder, console)
        steps.print(f"Trained {MODEL} {version} in a short training.")

        self._phase = "loading the histories"
        store = stack.enter_context(closing(RedisStore(settings)))
        claim_store(store, shop_dialect(settings))
        load_histories(training_log, store, console)
        invoices = last_invoices(training_log)

        self._phase = "starting the worker"
        ensure_topics(settings, timeout_s=10.0)
        merchandising = demo_merchandising(training_log)
        with closing(KafkaPublisher(settings)) as publisher:
            publisher.publish(merchandising.messages(settings))
        steps.print(merchandising.sentence)
        worker = stack.enter_context(run_worker_process(settings, folder))
        producer = stack.enter_context(closing(KafkaProducer(**kafka_python_config(settings, linger_ms=1))))
        watcher = stack.enter_context(closing(TopicWatcher(settings)))
        address = stack.enter_context(run_api_process(settings, folder))
        steps.print("Redis has the histories. The worker gets each customer's last invoice.")

        self._phase = "waiting for recommendations"
        baseline = BaselineRanker(fit_baseline(training_log), settings.window)
        applying = threading.Thread(target=baseline.apply, args=(training_log,), daemon=True)
        applying.start()
        statistics = ReplayStatistics(len(replayed))
        replay = WorkerReplay(settings.topics.invoices, producer, watcher, worker, statistics)
        replay.request_recommendations(invoices, console)
        steps.print("First recommendations are out. Over HTTP, while this runs:")
        customer = next(each.customer_id for each in reversed(invoices) if each.customer_id)
        steps.print(f"curl {address}/v1/customers/{customer}/recommendations")
        steps.print(f"In a browser: {address}/ (live, customers, models; try {address}/rules).")
        applying.join()
        baseline.rank({invoice.customer_id for invoice in replayed if invoice.customer_id})

        statistics.recommendations = 0  # from here on those of the replay
        self._statistics = statistics
        with LiveScreen(console) if console.is_terminal else PlainScreen(console) as screen:
            replay.run(replayed, options.rate, baseline, screen)
        if options.picture is not None:
            _save_picture(statistics, options.picture)
        self._print_summary("Done")
        if options.keep:
            self._print_next_steps(folder, settings, replayed[-1], address)
            self._waiting = True
            _wait(worker)

    def print_interrupted(self) -> None:
        """Print what was done until the signal."""
        if self._console.is_terminal:
            self._console.show_cursor(True)
            self._console.print()  # after the ^C of the terminal
        if self._statistics is None:
            print_wrapped(
                self._console,
                f"Interrupted after {self._steps.seconds:.0f} s, {self._phase}: no invoice was replayed.",
            )
        else:
            self._print_summary("Done" if self._waiting else "Interrupted", screen=not self._waiting)

    def _print_summary(self, outcome: str, *, screen: bool = True) -> None:
        assert self._statistics is not None
        summary = self._statistics.summary()
        parts = [f"{outcome}: {summary.sent:,} of {summary.total:,} invoices replayed", *summary_parts(summary)]
        if not self._console.is_terminal:
            print_wrapped(self._console, " · ".join(parts))
            return
        width, height = self._console.size
        lines = join_parts(parts, width)
        if screen:
            self._console.print(render_screen(self._statistics, width, height - len(lines) - 1, ended=True))
        for line in lines:
            print_wrapped(self._console, line)

    def _print_next_steps(self, folder: Path, settings: Settings, last: Invoice, address: str) -> None:
        assert self._statistics is not None
        latest = self._statistics.latest()
        recommendation = next((each for each in latest if each.items), latest[0])
        next_steps = write_next_steps(
            folder,
            settings_variables(settings),
            dialect=settings.dialect,
            customer=recommendation.customer_id,
            bought=recommendation.items[0] if recommendation.items else last.lines[0],
            date=last.date + 3_600,
        )

        def write(line: str = "") -> None:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

        write()
        print_wrapped(self._console, f"Kafka, Redis, the worker and the API stay up; the page is {address}/.")
        print_wrapped(self._console, "In another terminal, their settings first:")
        write(f"\n  {next_steps.load_settings}")
        for command, purpose in next_steps.commands:
            write(f"\n  # {purpose}\n  {command}")
        write(f"\nCtrl-C here ends them, or from elsewhere: kill {os.getpid()}")


def _wait(worker: WorkerProcess) -> None:
    """Wait for a signal.

    Raises:
        Failure: The worker ended.
    """
    while True:
        require_running(worker)
        time.sleep(_WORKER_CHECK_S)


def _save_picture(statistics: ReplayStatistics, picture: Path) -> None:
    width, height = _PICTURE_SIZE
    recorder = Console(record=True, width=width, file=io.StringIO())
    recorder.print(render_screen(statistics, width, height))
    recorder.save_svg(str(picture), title="nextbasket demo")
