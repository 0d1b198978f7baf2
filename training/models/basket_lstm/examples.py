"""Examples: what the network learns from, taken along the walk with the very view that serves."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.events.dates import DAY
from state.events.invoice import Invoice
from training.data.walk import walk
from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import View, build_view
from training.features.item_table import ItemTable
from training.models.global_statistics import GlobalStatisticsBuilder

logger = logging.getLogger(__name__)

Half = NDArray[np.float16]

REFIT_DAYS = 7
"""Item-to-item weights are fitted anew this often, so that training sees them as stale as service does."""
_FITTED_KEPT = 60
"""A year of fits, some 6 MB each for 3,000 items: what was asked for in training is asked for again in judging."""
EMISSION_DAYS = 30
"""Of emissions before the span that is learnt from, only those of so many days are examples."""


class Sampling(NamedTuple):
    """How many of the candidates that were not bought go into an example."""

    own: int = 40
    others: int = 32


class Example(NamedTuple):
    """One moment: all bought candidates and a sample of the others.

    ``bought`` ``[rows]``; ``correction`` ``[rows]``: log(n / sampled), which stands for those left out; the inputs as
    in ``View``, steps and baskets without the places before the first basket.
    """

    bought: NDArray[np.bool_]
    correction: NDArray[np.float32]
    candidate: Half
    person: Half
    steps: Half
    baskets: Half


class Seen(NamedTuple):
    """A moment as it is learnt from.

    ``date`` of its target · which candidates were ``bought`` ``[candidates]`` · ``items`` is live: it is valid only
    until the next moment.
    """

    date: int
    view: View
    bought: NDArray[np.bool_]
    items: ItemTable


def targets(invoices: Sequence[Invoice], until: int) -> list[int]:
    """Dates before ``until`` of the purchase invoices whose customer has an earlier one: what can be learnt from."""
    seen: set[str] = set()
    dates: list[int] = []
    for invoice in invoices:
        if invoice.date >= until:
            break
        if invoice.customer_id is None or not invoice.is_purchase:
            continue
        if invoice.customer_id in seen:
            dates.append(invoice.date)
        seen.add(invoice.customer_id)
    return dates


class Staleness:
    """Knowledge as it stood at each moment: fitted when asked for, at dates ``REFIT_DAYS`` apart.

    Training so sees item-to-item weights as old as a service does whose trainer runs that often.
    """

    def __init__(self, invoices: Sequence[Invoice], until: int) -> None:
        """Nothing dated from ``until`` on is learnt from before ``follow`` says so."""
        self._invoices = invoices
        self._origin = self._until = until
        self._lessons = GlobalStatisticsBuilder(invoices)
        self._fitted: dict[int, GlobalStatistics] = {}

    def follow(self, invoices: Sequence[Invoice], until: int) -> None:
        """Learn from what is dated before ``until`` too, of the same log or one that goes on from it."""
        self._until = max(until, self._origin)
        if invoices is not self._invoices:
            self._invoices, self._lessons = invoices, GlobalStatisticsBuilder(invoices)

    def at(self, now: int) -> GlobalStatistics:
        """The newest knowledge fitted at or before ``now``."""
        period = REFIT_DAYS * DAY
        date = self._origin + (min(now, self._until) - self._origin) // period * period
        if date not in self._fitted:
            if self._lessons.date is not None and date < self._lessons.date:
                self._lessons = GlobalStatisticsBuilder(self._invoices)
            if len(self._fitted) == _FITTED_KEPT:
                del self._fitted[min(self._fitted)]
            self._fitted[date] = self._lessons.until(date)
            logger.debug("learnt item-to-item weights", extra={"until": date})
        return self._fitted[date]


def views(
    invoices: Sequence[Invoice], staleness: Staleness, start: int, end: int, window: int, retrieval: Retrieval
) -> Iterator[Seen]:
    """Every moment, visits and emissions, with targets in a span.

    Emissions ``EMISSION_DAYS`` before the span and earlier are passed over: each week before it would cost a fit of its
    own for a few examples. Where the span begins with the log there are none.
    """
    for moment in walk(invoices, moment="both", start=start, end=end, window=window):
        if moment.now < start - EMISSION_DAYS * DAY:
            continue
        view = build_view([moment.history], moment.items, moment.now, staleness.at(moment.now), retrieval)
        rows = [moment.items.rows.get(line.stock_code, -1) for line in moment.target.lines if line.quantity > 0]
        yield Seen(moment.target.date, view, np.isin(view.row, rows), moment.items)


def sample(view: View, bought: NDArray[np.bool_], sampling: Sampling, generator: np.random.Generator) -> Example | None:
    """The example of one customer's view, or None where none of the candidates was bought or there is no basket."""
    length = int(view.length[0])
    if length == 0 or not bought.any():
        return None
    chosen = [np.flatnonzero(bought)]
    corrections = [np.zeros(len(chosen[0]), np.float32)]
    for group, most in ((view.known, sampling.own), (~view.known, sampling.others)):
        left = np.flatnonzero(group & ~bought)
        if len(left) > most:
            drawn = generator.choice(left, most, replace=False)
            corrections.append(np.full(most, np.log(len(left) / most), np.float32))
        else:
            drawn = left
            corrections.append(np.zeros(len(left), np.float32))
        chosen.append(drawn)
    rows = np.concatenate(chosen)
    return Example(
        bought=bought[rows],
        correction=np.concatenate(corrections),
        candidate=view.candidate[rows].astype(np.float16),
        person=view.person[0].astype(np.float16),
        steps=view.steps[rows, -length:].astype(np.float16),
        baskets=view.baskets[0, -length:].astype(np.float16),
    )


def fingerprint(examples: Sequence[Example]) -> str:
    """SHA-256 of all that examples hold, in hexadecimal: the same only where a training would go the same way."""
    digest = hashlib.sha256()
    for example in examples:
        for array in example:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_examples(examples: Sequence[Example], folder: Path) -> None:
    """Write examples, at least one, into an empty folder, as a few large arrays, one after the other."""
    width = examples[0].steps.shape[-1]
    np.save(folder / "rows", np.asarray([len(example.bought) for example in examples]))
    np.save(folder / "lengths", np.asarray([len(example.baskets) for example in examples]))
    np.save(folder / "person", np.stack([example.person for example in examples]))
    for name in ("bought", "correction", "candidate", "baskets"):
        np.save(folder / name, np.concatenate([getattr(example, name) for example in examples]))
    np.save(folder / "steps", np.concatenate([example.steps.reshape(-1, width) for example in examples]))


def load_examples(folder: Path) -> list[Example]:
    """The examples that ``save_examples`` wrote, not copied but mapped: its files may be deleted all the same."""

    def array(name: str) -> NDArray[Any]:
        return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))

    def parts(name: str, sizes: NDArray[np.intp]) -> list[NDArray[Any]]:
        return np.split(array(name), np.cumsum(sizes)[:-1])

    rows, lengths = array("rows"), array("lengths")
    steps = zip(parts("steps", rows * lengths), rows, lengths, strict=True)
    return list(
        map(
            Example,
            parts("bought", rows),
            parts("correction", rows),
            parts("candidate", rows),
            array("person"),
            (each.reshape(n, length, -1) for each, n, length in steps),
            parts("baskets", lengths),
        )
    )


class Batch(NamedTuple):
    """Examples of one length, flat: ``customer`` leads from a row to its example."""

    bought: NDArray[np.float32]
    correction: NDArray[np.float32]
    customer: NDArray[np.int32]
    candidate: NDArray[np.float32]
    person: NDArray[np.float32]
    steps: NDArray[np.float32]
    baskets: NDArray[np.float32]


def collate(examples: Sequence[Example]) -> Batch:
    """Puts examples of the same length together."""
    sizes = [len(example.bought) for example in examples]
    return Batch(
        bought=np.concatenate([example.bought for example in examples]).astype(np.float32),
        correction=np.concatenate([example.correction for example in examples]),
        customer=np.repeat(np.arange(len(examples), dtype=np.int32), sizes),
        candidate=np.concatenate([example.candidate for example in examples]).astype(np.float32),
        person=np.stack([example.person for example in examples]).astype(np.float32),
        steps=np.concatenate([example.steps for example in examples]).astype(np.float32),
        baskets=np.stack([example.baskets for example in examples]).astype(np.float32),
    )


def batches(examples: Sequence[Example], size: int, generator: np.random.Generator | None) -> list[list[int]]:
    """Positions of examples in batches of equal length, shuffled where there is a generator."""
    lengths = np.asarray([len(example.baskets) for example in examples])
    order = np.arange(len(examples)) if generator is None else generator.permutation(len(examples))
    order = order[np.argsort(lengths[order], kind="stable")]
    found: list[list[int]] = []
    for length in np.unique(lengths):
        same = order[lengths[order] == length]
        found.extend(same[at : at + size].tolist() for at in range(0, len(same), size))
    if generator is not None:
        generator.shuffle(found)
    return found
