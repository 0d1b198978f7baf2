"""What the demo counts while it runs: plain values in, a summary out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from state.domain.recommendation import Recommendation

LATEST = 8
"""Customers in the table on the screen."""


@dataclass(frozen=True)
class Quality:
    """Means over the same invoices: ``hit`` is hit@10, ``recall`` recall@10, both from 0 to 1."""

    invoices: int
    hit: float
    recall: float


@dataclass(frozen=True)
class Summary:
    """The state of the show at one moment; latencies in ms, from producing an invoice to reading its answer."""

    sent: int
    total: int
    answered: int
    events_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    ours: Quality | None
    baseline: Quality | None
    dead_letters: int


@dataclass
class Tally:
    """Running counts of one replay of ``total`` invoices. Times are seconds on any one monotonic clock."""

    total: int
    started: float | None = None
    answered: int = 0
    dead_letters: int = 0
    _latest: dict[str, Recommendation] = field(default_factory=dict)
    _sent: dict[str, float] = field(default_factory=dict)
    _latencies: list[float] = field(default_factory=list)
    _last_answer: float | None = None
    _ours: dict[str, tuple[float, float]] = field(default_factory=dict)
    _baseline: dict[str, tuple[float, float]] = field(default_factory=dict)

    def invoice_sent(self, invoice_no: str, at: float) -> None:
        """An invoice went to the broker."""
        if self.started is None:
            self.started = at
        self._sent[invoice_no] = at

    def recommended(self, recommendation: Recommendation, at: float) -> None:
        """A recommendation was read; it answers the invoice that triggered it."""
        self._latest.pop(recommendation.customer_id, None)
        self._latest[recommendation.customer_id] = recommendation
        if len(self._latest) > LATEST:
            del self._latest[next(iter(self._latest))]
        self.answered += 1
        sent = self._sent.get(recommendation.trigger.invoice_no or "")
        if sent is not None:
            self._latencies.append(at - sent)
            self._last_answer = at

    def scored(self, invoice_no: str, hit: float, recall: float) -> None:
        """The worker scored what it had recommended before an invoice; a later score of the same invoice supersedes."""
        self._ours[invoice_no] = (hit, recall)

    def baseline_scored(self, invoice_no: str, hit: float, recall: float) -> None:
        """The baseline's ranking at the same moment, scored against the same invoice."""
        self._baseline[invoice_no] = (hit, recall)

    def latest(self) -> list[Recommendation]:
        """The newest recommendations, one a customer, newest first."""
        return list(reversed(self._latest.values()))

    @property
    def complete(self) -> bool:
        """Whether every invoice has its answer; one that another of the same customer overtook never gets one."""
        return len(self._latencies) >= self.total

    def summary(self) -> Summary:
        """The figures as they stand. Quality is over invoices that both have scored."""
        both = [number for number in self._ours if number in self._baseline]
        seconds = (self._last_answer - self.started) if self.started is not None and self._last_answer else 0.0
        return Summary(
            sent=len(self._sent),
            total=self.total,
            answered=self.answered,
            events_per_second=len(self._latencies) / seconds if seconds > 0 else 0.0,
            p50_ms=_quantile(self._latencies, 0.50),
            p99_ms=_quantile(self._latencies, 0.99),
            ours=_quality([self._ours[number] for number in both]),
            baseline=_quality([self._baseline[number] for number in both]),
            dead_letters=self.dead_letters,
        )


def _quality(scores: Sequence[tuple[float, float]]) -> Quality | None:
    if not scores:
        return None
    return Quality(
        len(scores), sum(hit for hit, _ in scores) / len(scores), sum(recall for _, recall in scores) / len(scores)
    )


def _quantile(seconds: Sequence[float], q: float) -> float | None:
    """The nearest-rank quantile in milliseconds; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(q * len(ordered)))]
