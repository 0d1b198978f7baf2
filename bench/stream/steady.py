"""A steady stream: latency, processor time and stages at a fixed rate, and the rate that a worker can hold."""

import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
from confluent_kafka import Producer

from bench.stream.answers import Answers
from bench.stream.stages import Stages, between, stages
from bench.stream.variant import Event, WorkerVariant

SETTLE_SECONDS = 2.0
"""Start of a steady stream that is not counted."""
TICK_SECONDS = 0.005
"""Interval between the batches of the steady stream."""
SEARCH_SECONDS = 2.0
"""Length of one step of the search for the steady capacity."""
GROWTH = 1.4
"""Ratio of the rates of two steps, and so the error of the capacity that is found."""
LAG_SECONDS = 0.5
"""Median age of the answers at the end of a step, above which the rate is not held."""
WAIT_SECONDS = 10.0
"""How long the last answers of a stream are waited for."""

Identity = tuple[Any, ...]


@dataclass
class Steady:
    """A steady stream. ``cpu_us`` is processor time an event in µs, latencies are in ms."""

    rate: float
    events: int
    answers: int
    cpu_us: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    stages: Stages = field(default_factory=dict)


class Stream:
    """Sends events at a rate, and collects the age of their answers."""

    def __init__(self, variant: WorkerVariant, producer: Producer, answers: Answers, watched: psutil.Process) -> None:
        self._variant = variant
        self._producer = producer
        self._answers = answers
        self._watched = watched

    def run(self, events: Sequence[Event], rate: float, *, settle_s: float = SETTLE_SECONDS) -> Steady:
        """Send all events at ``rate`` a second; the first seconds are not counted."""
        before: tuple[float, Stages, int] | None = None

        def settled(sent: int) -> None:
            nonlocal before
            before = (self._cpu(), stages(self._variant), sent)

        ages, sent = self._send(events, rate, settle_s, settled)
        began, stages_before, uncounted = before or (self._cpu(), stages(self._variant), 0)
        counted = max(1, len(events) - uncounted)
        found = [age for at, age in ages if at > settle_s]
        result = Steady(sent, counted, len(found), (self._cpu() - began) / counted * 1e6)
        result.stages = between(stages_before, stages(self._variant))
        if len(found) > 1:
            cuts = statistics.quantiles(found, n=1000, method="inclusive")
            result.p50_ms, result.p99_ms, result.p999_ms = cuts[499], cuts[989], cuts[998]
        return result

    def capacity(self, events: Sequence[Event], start: float, alive: Callable[[], None]) -> tuple[float, int]:
        """The highest rate at which the lag does not grow, searched upwards from ``start``, and the events used."""
        held, rate, used = 0.0, start, 0
        while used + int(rate * SEARCH_SECONDS) <= len(events):
            step = events[used : used + int(rate * SEARCH_SECONDS)]
            ages, sent = self._send(step, rate, None, lambda _: None)
            used += len(step)
            alive()
            # Of the answers to what was sent last: a lag that grows is largest there.
            last = [age for at, age in ages if at > 0.75 * SEARCH_SECONDS]
            if sent < 0.9 * rate or not last or statistics.median(last) > 1000 * LAG_SECONDS:
                break
            held, rate = sent, rate * GROWTH
        return held, used

    def _send(
        self, events: Sequence[Event], rate: float, settle_s: float | None, settled: Callable[[int], None]
    ) -> tuple[list[tuple[float, float]], float]:
        """(second of the stream, age of the answer in ms) of each answer, and the rate that was sent."""
        sent: dict[Identity, float] = {}
        identity_at: dict[Identity, Identity] = {}
        identities: list[Identity] = [("id", json.loads(value)["id"]) for _, value in events]
        self._answers.skip()
        arrived: list[tuple[float, bytes]] = []
        ending = threading.Event()
        listener = threading.Thread(target=self._answers.listen, args=(arrived, ending))
        listener.start()
        start = time.perf_counter()
        first = 0
        while first < len(events):
            elapsed = time.perf_counter() - start
            if settle_s is not None and elapsed > settle_s:
                settle_s = None
                settled(first)
            # All due events are sent together: waking up for each event would take a core from the measured worker.
            due = min(len(events), int(elapsed * rate) + 1)
            for (key, value), identity in zip(events[first:due], identities[first:due], strict=True):

                def confirmed(error: Any, message: Any, identity: Identity = identity) -> None:
                    identity_at["at", message.partition(), message.offset()] = identity

                sent[identity] = time.perf_counter()
                self._producer.produce(self._variant.topics[0], value, key, on_delivery=confirmed)
            first = due
            self._producer.poll(0)
            time.sleep(TICK_SECONDS)
        took = time.perf_counter() - start
        self._producer.flush(30)
        self._answers.wait_until_quiet(arrived, WAIT_SECONDS)
        ending.set()
        listener.join()
        ages = []
        for received, value in arrived:
            identity_of = self._variant.identify(json.loads(value))
            if identity_of is not None:
                sent_at = sent.get(identity_at.get(identity_of, identity_of))
                if sent_at is not None:
                    ages.append((sent_at - start, (received - sent_at) * 1000))
        return ages, len(events) / max(took, 1e-9)

    def _cpu(self) -> float:
        return sum(self._watched.cpu_times()[:2])
