"""Model and Fitted: what the trainer, the evaluation and the gate need of a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar, runtime_checkable

from state.events.invoice import Invoice
from training.serving.scorer import Scorer


class Fitted(Protocol):
    """A trained model: the scorer that serves, and what writes the bundle."""

    @property
    def scorer(self) -> Scorer:
        """The scorer that ``training.serving.load`` gives back for what ``save`` wrote."""
        ...

    def save(self, folder: Path) -> None:
        """Write all a bundle needs but its manifest (``vocabulary.json``, arrays, weights) into an empty folder."""
        ...


ScorerT_co = TypeVar("ScorerT_co", bound=Scorer, covariant=True)


@runtime_checkable
class FittedOverTime(Protocol[ScorerT_co]):
    """A ``Fitted`` whose scorer reads global statistics, which the evaluation can have as of any date of the log."""

    @property
    def scorer(self) -> ScorerT_co:
        """The scorer that serves, with the statistics of ``until``."""
        ...

    @property
    def until(self) -> int:
        """End, not included, of the data that the model was fitted on, seconds since 1970."""
        ...

    def scorer_at(self, date: int) -> ScorerT_co:
        """The scorer with what was known at a date, in seconds since 1970, of the log so far; see ``extend``."""
        ...

    def copy(self) -> Self:
        """The same model with a log of its own: ``extend`` of the copy changes no other one."""
        ...

    def extend(self, invoices: Sequence[Invoice], until: int) -> None:
        """Add what is dated before ``until`` to the log; ``invoices`` begin with the log of the fit."""
        ...


Curves = Mapping[str, Sequence[float]]
"""Mean loss after each epoch, the first one first, on each set of examples (``training``, ``validation``).

Lower is better; all are of one length and one unit.
"""


@runtime_checkable
class FittedInEpochs(Protocol):
    """A ``Fitted`` that was trained in epochs; the evaluation draws its curves."""

    @property
    def curves(self) -> Curves:
        """One value an epoch that was run, also where an earlier epoch's weights were kept."""
        ...


class Model(Protocol):
    """A way to learn a scorer from the log of purchases.

    ``name`` is what the command line, the registry's manifest and the evaluation call it. ``seeded`` says whether a
    seed changes anything, so that ``evaluate --seeds`` need not repeat what always ends the same.
    """

    name: str
    seeded: bool

    def fit(self, invoices: Sequence[Invoice], *, until: int, seed: int) -> Fitted:
        """Learn from what is dated before ``until``; every step updates ``training.progress``.

        Args:
            invoices: The log, sorted by (date, invoice number), sales and returns; what lies at or after ``until``
                is not looked at.
            until: First second, since 1970, that must stay unknown.
            seed: Makes the same data end in the same model.

        Raises:
            TrainingError: The log is too small to learn from; the message says what is missing.
        """
        ...
