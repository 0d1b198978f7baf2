"""The scorer of "no model": what the customer bought last. It costs next to nothing and changes with every purchase."""

from collections.abc import Sequence

from state.domain.history import CustomerHistory
from training.features.item_table import ItemTable
from training.serving.scorer import HORIZONS, Candidate, Prediction

CURVE = tuple(days / 100 for days in HORIZONS)


class RecentScorer:
    """Answers with the last items bought."""

    name = "recent"
    version = "0"

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        """The last ``k`` distinct stock codes of each history."""
        return [Prediction(_last(history, k), CURVE) for history in histories]


def _last(history: CustomerHistory, k: int) -> list[Candidate]:
    codes: dict[str, None] = {}
    for invoice in reversed(history.invoices):
        for line in reversed(invoice.lines):
            codes[line.stock_code] = None
            if len(codes) == k:
                break
        if len(codes) == k:
            break
    return [Candidate(code, 0.5 / (place + 1)) for place, code in enumerate(codes)]
