"""Running counts of the demo's replay: plain values in, a summary out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from state.domain.recommendation import Recommendation

MAX_CUSTOMERS = 8
"""Customers in the table on the screen."""


@dataclass(frozen=True)
class Quality:
    """Means over the same invoices: ``hit`` is hit@10, ``recall`` recall@10, both from 0 to 1."""

    invoices: int
    hit: float
    recall: float


@dataclass(frozen=True)
class Summary:
    """The figures of a replay so far; latencies in ms, from sending an invoice to reading its recommendation."""

    sent: int
    total: int
    recommendations: int
    events_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    model: Quality | None
    baseline: Quality | None
    dead_letters: int


@dataclass
class ReplayStatistics:
    """Counts of one replay of ``total`` invoices. Times are seconds of one monotonic clock."""

    total: int
    started: float | None = None
    recommendations: int = 0
    dead_letters: int = 0
    _latest: dict[str, Recommendation] = field(default_factory=dict)
    _sent: dict[str, float] = field(default_factory=dict)
    _latencies: list[float] = field(default_factory=list)
    _last_recommended: float | None = None
    _model_scores: dict[str, tuple[float, float]] = field(default_factory=dict)
    _baseline_scores: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add_sent(self, invoice_no: str, at: float) -> None:
        """Count an invoice that went to the broker."""
        if self.started is None:
            self.started = at
        self._sent[invoice_no] = at

    def add_recommendation(self, recommendation: Recommendation, at: float) -> None:
        """Count a recommendation that was read; it belongs to the invoice that triggered it."""
        self._latest.pop(recommendation.customer_id, None)
        self._latest[recommendation.customer_id] = recommendation
        if len(self._latest) > MAX_CUSTOMERS:
            del self._latest[next(iter(self._latest))]
        self.recommendations += 1
        sent = self._sent.get(recommendation.trigger.invoice_no or "")
        if sent is not None:
            self._latencies.append(at - sent)
            self._last_recommended = at

    def add_model_score(self, invoice_no: str, hit: float, recall: float) -> None:
        """Store the worker's score of an invoice; a second score of one invoice replaces the first."""
        self._model_scores[invoice_no] = (hit, recall)

    def add_baseline_score(self, invoice_no: str, hit: float, recall: float) -> None:
        """Store the baseline's score of an invoice."""
        self._baseline_scores[invoice_no] = (hit, recall)

    def latest(self) -> list[Recommendation]:
        """The newest recommendations, one a customer, newest first."""
        return list(reversed(self._latest.values()))

    @property
    def complete(self) -> bool:
        """Whether every invoice has its recommendation.

        An invoice may never get one: where two of a customer are in one batch, the recommendation names the later.
        """
        return len(self._latencies) >= self.total

    def summary(self) -> Summary:
        """The figures so far. Quality is over the invoices that both model and baseline have a score for."""
        both = [number for number in self._model_scores if number in self._baseline_scores]
        seconds = (
            (self._last_recommended - self.started) if self.started is not None and self._last_recommended else 0.0
        )
        return Summary(
            sent=len(self._sent),
            total=self.total,
            recommendations=self.recommendations,
            events_per_second=len(self._latencies) / seconds if seconds > 0 else 0.0,
            p50_ms=_quantile_ms(self._latencies, 0.50),
            p99_ms=_quantile_ms(self._latencies, 0.99),
            model=_mean_quality([self._model_scores[number] for number in both]),
            baseline=_mean_quality([self._baseline_scores[number] for number in both]),
            dead_letters=self.dead_letters,
        )


def _mean_quality(scores: Sequence[tuple[float, float]]) -> Quality | None:
    if not scores:
        return None
    return Quality(
        len(scores), sum(hit for hit, _ in scores) / len(scores), sum(recall for _, recall in scores) / len(scores)
    )


def _quantile_ms(seconds: Sequence[float], q: float) -> float | None:
    """The nearest-rank quantile in milliseconds; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(q * len(ordered)))]
