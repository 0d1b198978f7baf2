"""Models are fitted once a seed, evaluated at the given moments, and averaged."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.events.invoice import Invoice
from tests.unit.evaluation.purchases import START, invoice
from training.errors import SplitError, TooLittleData, UnknownModel
from training.evaluation.compare import compare
from training.evaluation.split import Span
from training.evaluation.variants import parse_variants
from training.features.item_table import ItemTable
from training.models import MODELS
from training.models.base import Curves, FittedInEpochs
from training.serving.scorer import HORIZONS, Candidate, Prediction

LOG = [
    invoice("1", "ann", 0, "a", "b"),
    invoice("2", "bob", 1, "a"),
    invoice("3", "ann", 50, "b"),
    invoice("4", "bob", 60, "b", "c"),
]
SPAN = Span(START + 50 * DAY, START + 99 * DAY)


class Die:
    """A fitted ``Dice``: the order that the seed threw, the same for everybody."""

    name = "dice"
    version = "0"

    def __init__(self, seed: int, sides: int) -> None:
        self.codes = [str(code) for code in np.random.default_rng(seed).permutation(list("abc"))][:sides]
        self.curves: Curves = {"training": [float(seed), 0.0]}

    @property
    def scorer(self) -> "Die":
        return self

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        ranked = [Candidate(code, 0.5 / (rank + 1)) for rank, code in enumerate(self.codes[:k])]
        return [Prediction(ranked, (0.1,) * len(HORIZONS)) for _ in histories]

    def save(self, folder: Path) -> None:
        (folder / "codes").write_text("".join(self.codes))


class Dice:
    """A model that chance decides, and that remembers the seeds it was fitted with."""

    name = "dice"
    seeds: list[int]

    def __init__(self, *, sides: int = 3, seeded: bool = True) -> None:
        self.seeded = seeded
        self._sides = sides

    def fit(self, invoices: Sequence[Invoice], *, until: int, seed: int) -> Die:
        assert until == SPAN.start
        Dice.seeds.append(seed)
        return Die(seed, self._sides)


@pytest.fixture(autouse=True)
def dice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "dice", Dice)
    Dice.seeds = []


def test_a_seeded_model_is_fitted_for_every_seed_and_averaged() -> None:
    both = compare(LOG, parse_variants("dice"), SPAN, seeds=(1, 2)).moments["visit"].metrics["dice"]
    assert Dice.seeds == [1, 2]
    each = [
        compare(LOG, parse_variants("dice"), SPAN, seeds=(seed,)).moments["visit"].metrics["dice"] for seed in (1, 2)
    ]
    assert each[0].per_invoice["hit@1"].tolist() != each[1].per_invoice["hit@1"].tolist()
    assert both.per_invoice["ndcg@10"] == pytest.approx(
        (each[0].per_invoice["ndcg@10"] + each[1].per_invoice["ndcg@10"]) / 2
    )
    assert len(both.predicted) == len(each[0].predicted) + len(each[1].predicted)


def test_what_no_seed_changes_is_fitted_once() -> None:
    comparison = compare(LOG, parse_variants("dice:seeded=0,gp_topfreq"), SPAN, seeds=(1, 2, 3))
    assert Dice.seeds == [1]
    assert set(comparison.moments["visit"].metrics) == {"dice:seeded=0", "gp_topfreq"}


def test_one_fit_serves_both_moments() -> None:
    both = compare(LOG, parse_variants("dice,gp_topfreq"), SPAN, moment="both")
    assert Dice.seeds == [7]
    assert list(both.moments) == ["visit", "emission"]
    assert [len(result.cases) for result in both.moments.values()] == [2, 2]


def test_a_variant_is_a_row_of_its_own_and_has_its_curves() -> None:
    comparison = compare(LOG, parse_variants("dice,dice:sides=1,ease"), SPAN, seeds=(1, 2))
    rankings = comparison.moments["visit"].first_run.rankings
    assert [len(ranking.stock_codes) for ranking in rankings["dice:sides=1"]] == [1, 1]
    assert [len(ranking.stock_codes) for ranking in rankings["dice"]] == [3, 3]
    assert isinstance(Die(1, 1), FittedInEpochs)
    assert comparison.curves["dice:sides=1"] == {1: {"training": [1.0, 0.0]}, 2: {"training": [2.0, 0.0]}}
    assert set(comparison.curves) == {"dice", "dice:sides=1"}


@pytest.mark.parametrize(
    ("log", "models", "error"),
    [
        (LOG[:2], "ease", SplitError),
        ([LOG[0], invoice("9", "cid", 55, "a")], "ease", TooLittleData),
        (LOG, "dice:edges=3", UnknownModel),
    ],
)
def test_what_cannot_be_compared_is_refused(log: list[Invoice], models: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        compare(log, parse_variants(models), SPAN)
