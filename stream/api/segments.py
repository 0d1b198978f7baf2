"""What sells to customers with an attribute, for visitors of whom nothing else is known: a sample of the histories.

An item's lift in a segment is its share of the segment's demand, divided by its share of all demand; both with some
baskets of the whole shop mixed in, so that a small segment changes little.
"""

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple

from state.domain.history import CustomerHistory
from state.errors import StateError
from state.events.attributes import Attributes
from state.events.dates import DAY
from state.store.protocol import Store
from training.serving.scorer import Candidate

logger = logging.getLogger(__name__)

HALF_LIFE_DAYS = 30.0
PRIOR_BASKETS = 20.0
"""Baskets of the whole shop that are mixed into a segment."""
MAX_INVOICES = 20
"""Newest invoices of a customer that count."""
MAX_VALUES = 5_000
"""Segments that are stored at most; those with the most baskets."""

SAMPLE = 5_000
"""Customers that are read at a time; a scan of Redis returns them in no order, so they are a sample."""
PORTION = 100
PAUSE_S = 0.1
"""After each portion, so that requests are answered in between."""
INTERVAL_S = 600.0
RETRY_S = 10.0

Segment = tuple[str, str]
"""The key and the value of an attribute."""


class SegmentDemand(NamedTuple):
    """Decayed number of baskets with each item, by segment and of all customers; and the baskets of each."""

    items: Mapping[Segment, Mapping[str, float]]
    baskets: Mapping[Segment, float]
    all_items: Mapping[str, float]
    all_baskets: float

    def known(self, attributes: Attributes) -> dict[str, str]:
        """The attributes whose segment is known."""
        return {key: value for key, value in attributes.items() if (key, value) in self.items}

    def log_lift(self, stock_code: str, attributes: Attributes) -> float:
        """The log of the product of the item's lifts in the segments of some attributes; 0 for unknown ones."""
        share = self.all_items.get(stock_code, 0.0) / self.all_baskets if self.all_baskets else 0.0
        if share <= 0.0:
            return 0.0
        total = 0.0
        for segment in attributes.items():
            if segment in self.items:
                count = self.items[segment].get(stock_code, 0.0) + PRIOR_BASKETS * share
                total += math.log(count / (self.baskets[segment] + PRIOR_BASKETS) / share)
        return total


NO_SEGMENTS = SegmentDemand({}, {}, {}, 0.0)


def segment_demand(histories: Iterable[CustomerHistory], now: int) -> SegmentDemand:
    """The demand by segment, from the newest invoices of some customers."""
    counter = _Counter(now)
    for history in histories:
        counter.add(history)
    return counter.result()


class _Counter:
    def __init__(self, now: int) -> None:
        self._now = now
        self._items: dict[Segment | None, dict[str, float]] = {None: {}}
        self._baskets: dict[Segment | None, float] = {None: 0.0}

    def add(self, history: CustomerHistory) -> None:
        """Count the newest invoices of a customer."""
        segments: list[Segment | None] = [None, *history.attributes.items()]
        for invoice in history.invoices[-MAX_INVOICES:]:
            codes = invoice.purchased_codes
            if not codes:
                continue
            weight = 0.5 ** (max(0, self._now - invoice.date) / DAY / HALF_LIFE_DAYS)
            for segment in segments:
                self._baskets[segment] = self._baskets.get(segment, 0.0) + weight
                items = self._items.setdefault(segment, {})
                for code in codes:
                    items[code] = items.get(code, 0.0) + weight

    def result(self) -> SegmentDemand:
        """What was counted."""
        segments = [segment for segment in self._baskets if segment is not None]
        largest = sorted(segments, key=lambda segment: -self._baskets[segment])[:MAX_VALUES]
        return SegmentDemand(
            {segment: self._items[segment] for segment in largest},
            {segment: self._baskets[segment] for segment in largest},
            self._items[None],
            self._baskets[None],
        )


def rank_for_segments(
    candidates: Sequence[Candidate], attributes: Attributes, demand: SegmentDemand
) -> list[Candidate]:
    """The candidates by probability × lift, 1 at most; that is their ``probability``. Equal ones keep their order."""
    ranked = [
        Candidate(
            each.stock_code,
            min(1.0, each.probability * math.exp(demand.log_lift(each.stock_code, attributes))),
            each.source_item,
        )
        for each in candidates
    ]
    return sorted(ranked, key=lambda each: -each.probability)


class SegmentSampler:
    """Reads a sample of the histories from time to time, in a thread.

    Attributes:
        demand: As of the last sample; may be read in any thread.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self.demand = NO_SEGMENTS
        self._open_store = open_store
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segments", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            try:
                self._sample()
                wait_s = INTERVAL_S
            except StateError as error:
                logger.debug("No sample of the histories: %s", error)
                wait_s = RETRY_S
            except Exception:  # the thread must live as long as the server
                logger.exception("Sampling the histories failed")
                wait_s = INTERVAL_S

    def _sample(self) -> None:
        with closing(self._open_store()) as store:
            histories = islice(store.histories(), SAMPLE)
            counter = _Counter(store.now() or 0)
            while portion := list(islice(histories, PORTION)):
                for history in portion:
                    counter.add(history)
                if self._stopping.wait(PAUSE_S):
                    return
        self.demand = counter.result()
