"""The demo's invoices through the worker: first those it was trained on, then the replay of the newest ones."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from state.events.invoice import Invoice
from state.store.protocol import Store
from stream.cli.exit_codes import ExitCode, Failure
from stream.demo.baseline import BaselineRanker
from stream.demo.console import progress_bar
from stream.demo.environment import require_running
from stream.demo.screen import LiveScreen, Screen
from stream.demo.statistics import ReplayStatistics
from stream.demo.topic_watcher import TopicWatcher
from stream.tools.replay_events import encode_invoice

if TYPE_CHECKING:
    from kafka import KafkaProducer

_BATCH_SIZE = 1_000
"""Invoices that are applied to the store at once."""
_FIRST_RECOMMENDATIONS_TIMEOUT_S = 120.0
_IDLE_TIMEOUT_S = 3.0
"""The replay ends when nothing was sent or read for so long, though recommendations are missing."""
_LIVE_INTERVAL_S = 0.25
_PLAIN_INTERVAL_S = 3.0


def last_invoices(log: Sequence[Invoice]) -> list[Invoice]:
    """The last invoice of each customer.

    A second delivery does not change the history, but the worker publishes a recommendation, since there is none yet.
    """
    return list({invoice.customer_id: invoice for invoice in log}.values())


def load_histories(log: Sequence[Invoice], store: Store, console: Console) -> None:
    """Apply a log to the store, as the worker does."""
    with progress_bar(console) as bar:
        for first in bar.track(range(0, len(log), _BATCH_SIZE), description="loading histories"):
            store.apply(log[first : first + _BATCH_SIZE], clock_ms=int(time.time() * 1000))


@dataclass(frozen=True)
class WorkerReplay:
    """Sends invoices to the worker and counts what it publishes."""

    topic: str
    producer: "KafkaProducer"
    watcher: TopicWatcher
    worker: "subprocess.Popen[bytes]"
    statistics: ReplayStatistics

    def request_recommendations(self, invoices: Sequence[Invoice], console: Console) -> None:
        """Send the last invoice of each customer and wait until each has a recommendation.

        Raises:
            Failure: The worker ended, or takes too long.
        """
        for invoice in invoices:
            self._send(invoice)
        self.producer.flush()
        deadline = time.monotonic() + _FIRST_RECOMMENDATIONS_TIMEOUT_S
        with progress_bar(console) as bar:
            task = bar.add_task("first recommendations", total=len(invoices))
            while self.statistics.recommendations < len(invoices):
                require_running(self.worker)
                if time.monotonic() > deadline:
                    raise Failure(
                        "The worker published no recommendations in time; is this machine very busy?",
                        ExitCode.UNREACHABLE,
                    )
                self.watcher.read(self.statistics, 0.1)
                bar.update(task, completed=self.statistics.recommendations)

    def run(self, invoices: Sequence[Invoice], rate: float, baseline: BaselineRanker, screen: Screen) -> None:
        """Send invoices at ``rate`` a second, read what the worker publishes, and show both.

        Raises:
            Failure: The worker ended.
        """
        statistics = self.statistics
        began = shown = active = time.monotonic()
        show_interval = _LIVE_INTERVAL_S if isinstance(screen, LiveScreen) else _PLAIN_INTERVAL_S
        sent = 0
        while not (sent == len(invoices) and (statistics.complete or time.monotonic() - active > _IDLE_TIMEOUT_S)):
            now = time.monotonic()
            due = min(len(invoices), int((now - began) * rate) + 1)
            for invoice in invoices[sent:due]:
                statistics.add_sent(invoice.invoice_no, time.monotonic())
                self._send(invoice)
                if score := baseline.score_and_apply(invoice):
                    statistics.add_baseline_score(invoice.invoice_no, *score)
            if self.watcher.read(statistics, 0.01) or due > sent:
                active = time.monotonic()
            sent = due
            if now - shown >= show_interval:
                require_running(self.worker)
                screen.show(statistics)
                shown = now
        screen.show(statistics)

    def _send(self, invoice: Invoice) -> None:
        self.producer.send(self.topic, key=(invoice.customer_id or "").encode(), value=encode_invoice(invoice))
