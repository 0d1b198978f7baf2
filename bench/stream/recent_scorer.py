"""A scorer without a model: the items bought last. It costs almost nothing and changes with each purchase."""

from collections.abc import Sequence

from state.domain.history import CustomerHistory
from training.features.item_table import ItemTable
from training.serving.scorer import HORIZONS, Candidate, Prediction

CURVE = tuple(days / 100 for days in HORIZONS)


class RecentScorer:
    """Recommends the items bought last."""

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
    return [Candidate(code, 0.5 / (rank + 1)) for rank, code in enumerate(codes)]
