"""TIFU-KNN and UP-CF fitted anew along an evaluation: the other customers as they stood when each day began."""

from collections.abc import Sequence
from typing import Any

from state.events.invoice import Invoice
from training.data.walk import StateReplay
from training.serving.baselines.neighbours import CustomerNeighbourhood, Method, VectorCache
from training.serving.baselines.scorer import BaselineScorer


class NeighboursScorer(BaselineScorer):
    """A model of neighbours that can be fitted anew to a longer log; see ``training.evaluation.prequential.Refits``."""

    def __init__(self, name: str, version: str, *, method: Method, window: int, **fitted: Any) -> None:
        """Put a scorer together as ``BaselineScorer`` does, with what a further fit needs."""
        super().__init__(name, version, **fitted)
        self._method = method
        self._window = window
        self._start()

    def _start(self) -> None:
        self._replay = StateReplay(self._window)
        self._vectors: VectorCache = {}
        self._position = 0
        self._until = 0

    def refit(self, invoices: Sequence[Invoice], until: int) -> None:
        """Take the vectors of everybody as of ``until``; only those who bought since the last time are computed."""
        if until < self._until:
            self._start()
        self._until = until
        while self._position < len(invoices) and invoices[self._position].date < until:
            self._replay.apply(invoices[self._position])
            self._position += 1
        self.fitted = CustomerNeighbourhood.fit(
            self._method, self._replay.histories.values(), self._replay.items, self._vectors
        )
