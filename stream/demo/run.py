"""The demo, act by act: data, training, the customers' past, a worker, and the invoices that followed."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from state.events.invoice import Invoice
from state.settings import PREFIX, Settings, load_settings
from state.store.redis.store import RedisStore
from stream.cli.exit_codes import ExitCode, Failure
from stream.demo.baseline import BaselineRanker
from stream.demo.screen import LiveScreen, PlainScreen, Screen, figures, picture
from stream.demo.tally import Summary, Tally
from stream.demo.topic_watcher import TopicWatcher
from stream.kafka.config import kafka_python_config
from stream.kafka.topics import ensure_topics
from stream.tools.embedded import API_VERSION, embedded_kafka, embedded_redis

if TYPE_CHECKING:
    from kafka import KafkaProducer

    from training.serving.scorer import Scorer

BASELINE = "gp_topfreq"
MODEL = "basket_lstm"

QUICK = {"max_examples": 1_500, "epochs": 4, "whole": False}
"""Options of the model: a short training, so that the first recommendation need not be waited for long."""

_LOAD = 1_000
"""Invoices of the past applied at once."""
_PATIENCE_S = 120.0
"""How long the worker may take for the past's last invoices before the demo gives up."""
_SETTLE_S = 3.0
"""After the last invoice: the show ends when no answer has come for so long."""
_REDRAW_S = 0.25
_PLAIN_S = 3.0
_WORKER_ENDS_S = 20.0


@dataclass(frozen=True)
class Show:
    """What the command line asked for: ``rate`` in invoices a second."""

    data: Path | None
    events: int
    rate: float
    picture: Path | None = None


def run_demo(show: Show) -> None:
    """Run the demo to its end; whatever ends it, processes and files go with it.

    Raises:
        DataError: The data cannot be read.
        TrainingError: There is too little of it.
        Failure: The worker ended, or gave no answer.
    """
    from kafka import KafkaProducer

    console = Console()
    began = time.monotonic()
    with ExitStack() as stack, _terminable():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-demo-")))
        say = _Speaker(console, began).say

        log, dialect = _read(show, say)
        cut = _cut(log, show.events)
        past, following = log[:cut], log[cut:]
        day = datetime.fromtimestamp(following[0].date, UTC).date()
        say(f"{len(past):,} invoices before {day} are the past, {len(following):,} from then on will be replayed.")

        brokers = stack.enter_context(embedded_kafka())
        redis_url = stack.enter_context(embedded_redis())
        settings = _settings(folder, brokers, redis_url, dialect)
        say("Kafka (librdkafka's mock cluster) and Redis (Valkey) run inside this command.")

        version = _train(log, following[0].date, settings, folder, console)
        say(f"Trained {MODEL} {version}: a short training for the demo; `nextbasket train` takes its time.")

        store = stack.enter_context(closing(RedisStore(settings)))
        _load(past, store, console)
        last = _last_invoices(past)
        ensure_topics(settings, timeout_s=10.0)
        worker = stack.enter_context(_worker(settings, folder))
        producer = stack.enter_context(closing(KafkaProducer(**kafka_python_config(settings, linger_ms=1))))
        watch = stack.enter_context(closing(TopicWatcher(settings)))
        say(
            f"Redis has the customers' past. The worker gets the last invoice of each of {len(last):,} customers again."
        )

        baseline = BaselineRanker(_rival_scorer(past), settings.window)
        learning = threading.Thread(target=baseline.learn, args=(past,), daemon=True)
        learning.start()
        tally = Tally(len(following))
        _prepare(last, settings, producer, watch, tally, worker, console)
        say("First recommendations are out.")
        learning.join()
        baseline.rank({invoice.customer_id for invoice in following if invoice.customer_id})

        tally.answered = 0
        screen = LiveScreen(console) if console.is_terminal else PlainScreen(console)
        with screen:
            _replay(following, show.rate, settings, producer, watch, tally, baseline, worker, screen)
        _end(tally, show, console)


def _read(show: Show, say: Callable[[str], None]) -> tuple[list[Invoice], str]:
    """The cleaned log of invoices, and the dialect of the table."""
    from training.data.cleaning.clean import clean, dialect_of
    from training.data.cleaning.invoices import invoices
    from training.data.sources.source import find_source

    settings = load_settings()
    source = find_source(settings, show.data, progress=True)
    for sentence in (source.sentence, *source.table.notes):
        say(sentence)
    cleaned = clean(source.table, settings, clock=int(time.time()))
    log = invoices(cleaned)
    say(
        f"{cleaned.ledger.purchase_lines:,} purchase lines of {cleaned.ledger.customers:,} customers and "
        f"{cleaned.ledger.items:,} items, {cleaned.ledger.return_lines:,} return lines."
    )
    return log, dialect_of(source.table, settings).name


def _cut(log: Sequence[Invoice], events: int) -> int:
    """Where the past ends: the newest ``events`` invoices follow, at most a tenth of the log."""
    if len(log) < 100:
        raise Failure(f"{len(log)} invoices are too few for a demo; give --data a larger table.", ExitCode.DATA)
    cut = len(log) - min(events, len(log) // 10)
    # Invoices of one moment stay together, so that the past lies wholly before what follows.
    while cut > 1 and log[cut - 1].date == log[cut].date:
        cut -= 1
    return cut


def _settings(folder: Path, brokers: str, redis_url: str, dialect: str) -> Settings:
    """The user's settings, with everything that is kept moved into the demo's own servers and folder."""
    own = {
        "kafka_brokers": brokers,
        "kafka_api_version": API_VERSION,
        "kafka_security_protocol": "",
        "kafka_sasl_mechanism": "",
        "redis_url": redis_url,
        "redis_password": "",
        "registry": str(folder / "registry"),
        "namespace": "",
        "dialect": dialect,
        "metrics_port": "0",
        "fetch_wait_ms": "10",  # the embedded broker holds an empty fetch to its end, whatever comes
        "log_format": "console",
    }
    return load_settings({**os.environ, **{PREFIX + name.upper(): value for name, value in own.items()}})


def _train(log: Sequence[Invoice], until: int, settings: Settings, folder: Path, console: Console) -> str:
    """Fit on what lies before ``until`` and publish; returns the version."""
    from training.models import make_model
    from training.progress import shown_by
    from training.registry import Registry

    model = make_model(MODEL, **QUICK)
    with _bar(console) as bar:
        task = bar.add_task("training", total=None)
        with shown_by(_RichProgress(bar, task)):
            fitted = model.fit(log, until=until, seed=settings.seed)
    bundle = folder / "bundle"
    bundle.mkdir()
    fitted.save(bundle)
    registry = Registry(settings.registry_url)
    version = registry.publish(
        bundle,
        name=MODEL,
        data_from=datetime.fromtimestamp(log[0].date, UTC),
        data_until=datetime.fromtimestamp(until, UTC),
        metrics={},
        created=datetime.now(UTC),
    )
    registry.promote(version, at=datetime.now(UTC))
    return version


def _rival_scorer(past: Sequence[Invoice]) -> "Scorer":
    from training.models import make_model

    return make_model(BASELINE).fit(past, until=past[-1].date + 1, seed=0).scorer


def _last_invoices(past: Sequence[Invoice]) -> list[Invoice]:
    """Each customer's last invoice. Redelivered it changes nothing, but the worker owes every customer an answer."""
    return list({invoice.customer_id: invoice for invoice in past}.values())


def _load(past: Sequence[Invoice], store: RedisStore, console: Console) -> None:
    """Give the store the past, by the very call that the worker makes."""
    with _bar(console) as bar:
        for first in bar.track(range(0, len(past), _LOAD), description="the customers' past"):
            store.apply(past[first : first + _LOAD], clock_ms=int(time.time() * 1000))


def _prepare(
    invoices: Sequence[Invoice],
    settings: Settings,
    producer: "KafkaProducer",
    watch: TopicWatcher,
    tally: Tally,
    worker: "subprocess.Popen[bytes]",
    console: Console,
) -> None:
    """Send the last invoices of the past and wait until each customer has a recommendation."""
    for invoice in invoices:
        _send(producer, settings, invoice)
    producer.flush()
    deadline = time.monotonic() + _PATIENCE_S
    with _bar(console) as bar:
        task = bar.add_task("first recommendations", total=len(invoices))
        while tally.answered < len(invoices):
            _must_run(worker)
            if time.monotonic() > deadline:
                raise Failure("The worker gave no answer in time; is this machine very busy?", ExitCode.UNREACHABLE)
            watch.read(tally, 0.1)
            bar.update(task, completed=tally.answered)


def _replay(
    following: Sequence[Invoice],
    rate: float,
    settings: Settings,
    producer: "KafkaProducer",
    watch: TopicWatcher,
    tally: Tally,
    baseline: BaselineRanker,
    worker: "subprocess.Popen[bytes]",
    screen: Screen,
) -> None:
    """Send the invoices at their pace, read the answers as they come, show both."""
    began = shown = heard = time.monotonic()
    every = _REDRAW_S if isinstance(screen, LiveScreen) else _PLAIN_S
    sent = 0
    while not (sent == len(following) and (tally.complete or time.monotonic() - heard > _SETTLE_S)):
        now = time.monotonic()
        due = min(len(following), int((now - began) * rate) + 1)
        for invoice in following[sent:due]:
            tally.invoice_sent(invoice.invoice_no, time.monotonic())
            _send(producer, settings, invoice)
            if scores := baseline.meet(invoice):
                tally.baseline_scored(invoice.invoice_no, *scores)
        if watch.read(tally, 0.01) or due > sent:
            heard = time.monotonic()
        sent = due
        if now - shown >= every:
            _must_run(worker)
            screen.show(tally)
            shown = now
    screen.show(tally)


def _end(tally: Tally, show: Show, console: Console) -> None:
    if console.is_terminal:
        console.print(picture(tally))
    if show.picture is not None:
        drawn = Console(record=True, width=118, file=io.StringIO())
        drawn.print(picture(tally))
        drawn.save_svg(str(show.picture), title="nextbasket demo")
    console.print(f"Done: {_summary(tally.summary())}", highlight=False, soft_wrap=True)


def _summary(summary: Summary) -> str:
    return f"{summary.sent:,} invoices replayed; {figures(summary)}"


def _send(producer: "KafkaProducer", settings: Settings, invoice: Invoice) -> None:
    from stream.tools.replay_events import encode_invoice

    producer.send(settings.topics.invoices, key=(invoice.customer_id or "").encode(), value=encode_invoice(invoice))


@contextmanager
def _worker(settings: Settings, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A real ``nextbasket worker`` in a process of its own; its log is shown only where it fails."""
    log = folder / "worker.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream", "worker"],
            env={**os.environ, **_environment(settings)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which ends the worker in order
        )
        try:
            yield process
            if process.poll() is not None:
                _must_run(process)
        except Failure as failure:
            tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise Failure(f"{failure} Its last words: {' / '.join(tail)}", failure.code) from None
        finally:
            process.terminate()
            try:
                process.wait(_WORKER_ENDS_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _must_run(worker: "subprocess.Popen[bytes]") -> None:
    if worker.poll() is not None:
        raise Failure(f"The worker ended with code {worker.returncode}.", ExitCode.INTERNAL)


def _environment(settings: Settings) -> dict[str, str]:
    """The settings that were set, as the environment of another process."""
    values = settings.model_dump()
    return {
        PREFIX + name.upper(): str(getattr(values[name], "get_secret_value", lambda name=name: values[name])())
        for name in settings.model_fields_set
    }


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, so that everything it started goes with it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _RichProgress:
    """Shows the progress of a training as one task of a bar."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def stage(self, name: str) -> None:
        """The training is one stage."""

    def update(self, done: int, total: int, note: str = "") -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done, total=total, description=f"training {note}".strip())


def _bar(console: Console) -> Progress:
    """A progress bar on a terminal, one line at its end elsewhere."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=console.is_terminal,
    )


class _Speaker:
    """Says what happens, with the seconds since the beginning before it."""

    def __init__(self, console: Console, began: float) -> None:
        self._console = console
        self._began = began

    def say(self, sentence: str) -> None:
        """One line."""
        self._console.print(
            f"[{time.monotonic() - self._began:4.0f} s] {sentence}", markup=False, highlight=False, soft_wrap=True
        )
