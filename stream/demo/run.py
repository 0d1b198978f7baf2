"""The demo step by step: data, training, histories, a worker, and the replay of the newest invoices."""

import io
import tempfile
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from state.events.invoice_rules import invoice_rules
from state.store.claim import claim_store
from state.store.redis.store import RedisStore
from stream.demo.baseline import BaselineRanker
from stream.demo.console import StepPrinter
from stream.demo.environment import demo_settings, interrupt_on_sigterm, run_worker_process
from stream.demo.replay import WorkerReplay, last_invoices, load_histories
from stream.demo.screen import LiveScreen, PlainScreen, render_screen, summary_text
from stream.demo.statistics import ReplayStatistics
from stream.demo.topic_watcher import TopicWatcher
from stream.demo.training import MODEL, fit_baseline, read_log, split_log, train_model
from stream.kafka.config import kafka_python_config
from stream.kafka.topics import ensure_topics
from stream.tools.embedded import embedded_kafka, embedded_redis


@dataclass(frozen=True)
class DemoOptions:
    """The options of the command: the table, invoices to replay, invoices a second, file for the last screen."""

    data: Path | None
    events: int
    rate: float
    picture: Path | None = None


def run_demo(options: DemoOptions) -> None:
    """Run the demo to its end, and end all processes and remove all files that it made, whatever ends it.

    Raises:
        DataError: The data cannot be read.
        TrainingError: There is too little of it.
        Failure: The worker ended, or published nothing.
    """
    from kafka import KafkaProducer

    console = Console()
    steps = StepPrinter(console)
    with ExitStack() as stack, interrupt_on_sigterm():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-demo-")))

        log, dialect = read_log(options.data, steps.print)
        training_log, replayed = split_log(log, options.events)
        day = datetime.fromtimestamp(replayed[0].date, UTC).date()
        steps.print(
            f"{len(training_log):,} invoices before {day} are for training, "
            f"{len(replayed):,} from then on will be replayed."
        )

        brokers = stack.enter_context(embedded_kafka())
        redis_url = stack.enter_context(embedded_redis())
        settings = demo_settings(folder, brokers, redis_url, dialect)
        steps.print("Kafka (librdkafka's mock cluster) and Redis (Valkey) run inside this command.")

        version = train_model(log, replayed[0].date, settings, folder, console)
        steps.print(f"Trained {MODEL} {version}: a short training for the demo; `nextbasket train` takes its time.")

        store = stack.enter_context(closing(RedisStore(settings)))
        claim_store(store, invoice_rules(settings))
        load_histories(training_log, store, console)
        invoices = last_invoices(training_log)
        ensure_topics(settings, timeout_s=10.0)
        worker = stack.enter_context(run_worker_process(settings, folder))
        producer = stack.enter_context(closing(KafkaProducer(**kafka_python_config(settings, linger_ms=1))))
        watcher = stack.enter_context(closing(TopicWatcher(settings)))
        steps.print(
            f"Redis has the histories. The worker gets the last invoice of each of {len(invoices):,} customers again."
        )

        baseline = BaselineRanker(fit_baseline(training_log), settings.window)
        applying = threading.Thread(target=baseline.apply, args=(training_log,), daemon=True)
        applying.start()
        statistics = ReplayStatistics(len(replayed))
        replay = WorkerReplay(settings.topics.invoices, producer, watcher, worker, statistics)
        replay.request_recommendations(invoices, console)
        steps.print("First recommendations are out.")
        applying.join()
        baseline.rank({invoice.customer_id for invoice in replayed if invoice.customer_id})

        statistics.recommendations = 0  # from here on those of the replay
        screen = LiveScreen(console) if console.is_terminal else PlainScreen(console)
        with screen:
            replay.run(replayed, options.rate, baseline, screen)
        _print_end(statistics, options.picture, console)


def _print_end(statistics: ReplayStatistics, picture: Path | None, console: Console) -> None:
    if console.is_terminal:
        console.print(render_screen(statistics))
    if picture is not None:
        recorder = Console(record=True, width=118, file=io.StringIO())
        recorder.print(render_screen(statistics))
        recorder.save_svg(str(picture), title="nextbasket demo")
    summary = statistics.summary()
    console.print(f"Done: {summary.sent:,} invoices replayed; {summary_text(summary)}", highlight=False, soft_wrap=True)
