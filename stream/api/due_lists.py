"""Makes lists of who is due, one at a time, in one thread."""

from collections.abc import Callable, Sequence
from itertools import islice

import msgspec

from state.domain.due import DueCustomer
from state.domain.rules import Merchandising
from state.events.dates import to_iso
from state.store.protocol import DueIndex, Store
from stream.api.problems import invalid_request
from stream.pipeline.due import DueQuery, due_customers
from training.serving.scorer import Scorer


class DueQuestion(msgspec.Struct, frozen=True):
    """A question for a list; ``at`` is None for the date of the newest event, ``segment`` as in ``DueQuery``."""

    within_days: int
    limit: int
    min_chance: float
    segment: dict[str, frozenset[str]]
    at: int | None = None


class DueAnswer(msgspec.Struct, frozen=True):
    """The customers who are likely to buy within a window, by falling expected value.

    ``matching``: how many customers match, listed or not.
    """

    at: str
    within_days: int
    matching: int
    customers: list[DueCustomer]


class DueLists:
    """Answers questions with one store, which is opened again after an error.

    Args:
        open_store: Opens the store.
        open_index: Opens where the numbers of each customer are stored; None where they are not.
        scorer: Returns the scorer that serves now.
        merchandising: Returns the catalogue and the rules as of now.
        top_k: Greatest number of items of a basket.
    """

    def __init__(
        self,
        *,
        open_store: Callable[[], Store],
        open_index: Callable[[], DueIndex | None],
        scorer: Callable[[], Scorer],
        merchandising: Callable[[], Merchandising],
        top_k: int,
    ) -> None:
        self._open_store = open_store
        self._open_index = open_index
        self._scorer = scorer
        self._merchandising = merchandising
        self._top_k = top_k
        self._opened: tuple[Store, DueIndex | None] | None = None

    def answer(self, questions: Sequence[DueQuestion]) -> list[DueAnswer | Exception]:
        """One list, or error, for each question.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return [self._answer(question) for question in questions]

    def close(self) -> None:
        """Close the store."""
        if self._opened is not None:
            self._opened[0].close()

    def _answer(self, question: DueQuestion) -> DueAnswer | Exception:
        if self._opened is None:
            self._opened = self._open_store(), self._open_index()
        store, index = self._opened
        newest = store.now() or 0
        at = newest if question.at is None else question.at
        if at < newest:
            return invalid_request(f"at: the histories hold events until {to_iso(newest)}; give that or a later time.")
        query = DueQuery(at, question.within_days, question.limit, question.min_chance, question.segment)
        found = due_customers(
            store,
            self._scorer(),
            query,
            top_k=self._top_k,
            merchandising=self._merchandising(),
            index=index,
        )
        customers = list(islice(found.customers, question.limit))
        return DueAnswer(to_iso(at), question.within_days, found.eligible, customers)
