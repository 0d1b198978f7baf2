"""The boosted trees: they learn, are evaluated like any other model, and cannot be published."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from state.domain.history import CustomerHistory, add_invoice
from tests.unit.evaluation.purchases import invoice
from tests.unit.features.shop import shop_log
from training.data.walk import StateReplay
from training.errors import TooLittleData, TrainingError
from training.evaluation.model_metrics import metric_means, model_metrics
from training.evaluation.prequential import evaluate
from training.evaluation.split import Span
from training.features.basket_lstm.retrieval import Retrieval
from training.features.item_table import ItemTable
from training.models import installed, make_model
from training.models.candidate_views.labelled_views import labelled_views
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.models.lightgbm import ranker as lightgbm_ranker
from training.models.lightgbm.ranker import FittedLightGbm, LightGbm, Part, calibrate, flat

pytest.importorskip("lightgbm", reason="needs the extra lightgbm")

LOG = shop_log(500)
UNTIL = LOG[400].date
END = LOG[-1].date + 1


@pytest.fixture(scope="module")
def fitted() -> FittedLightGbm:
    return LightGbm(rounds=20).fit(LOG, until=UNTIL, seed=3)


def test_it_learns_more_than_what_sells(fitted: FittedLightGbm) -> None:
    scorers = {"lightgbm": fitted.scorer, "g": make_model("recent_g_topfreq").fit(LOG, until=UNTIL, seed=1).scorer}
    for result in evaluate(LOG, scorers, Span(UNTIL, END), moment="both", depth=20).values():
        figures = metric_means({name: model_metrics(result, name) for name in scorers})
        assert figures["lightgbm"]["ndcg@10"] > figures["g"]["ndcg@10"] + 0.1


def test_the_same_seed_ends_in_the_same_answers_whatever_comes_after(fitted: FittedLightGbm) -> None:
    again = LightGbm(rounds=20).fit(LOG[:450], until=UNTIL, seed=3)
    replay = StateReplay(window=100)
    for each in LOG[:400]:
        replay.apply(each)
    histories = list(replay.histories.values())
    assert again.scorer.predict(histories, replay.items, UNTIL, 10) == fitted.scorer.predict(
        histories, replay.items, UNTIL, 10
    )


def test_rankings_are_whole_and_probabilities_fall(fitted: FittedLightGbm) -> None:
    replay = StateReplay(window=100)
    for each in LOG[:400]:
        replay.apply(each)
    history = next(iter(replay.histories.values()))
    unseen = add_invoice(CustomerHistory("new"), invoice("9", "new", 0, "never seen"), 100).history
    for one, items in ((history, replay.items), (unseen, replay.items), (CustomerHistory("nobody"), replay.items)):
        (prediction,) = fitted.scorer.predict([one], items, UNTIL, 1_000)
        codes = [candidate.stock_code for candidate in prediction.candidates]
        chances = [candidate.probability for candidate in prediction.candidates]
        assert len(set(codes)) == len(codes) >= len(items)
        assert chances == sorted(chances, reverse=True)
        assert all(0.0 <= chance <= 1.0 for chance in chances)
    (prediction,) = fitted.scorer.predict([unseen], ItemTable(), UNTIL, 10)
    assert [candidate.stock_code for candidate in prediction.candidates] == ["never seen"]


def test_every_candidate_has_its_customer_beside_it() -> None:
    _, view, bought, _ = next(
        iter(labelled_views(LOG, StatisticsHistory(LOG, UNTIL), LOG[200].date, UNTIL, 100, Retrieval()))
    )
    inputs = flat(view)
    width = view.candidate_inputs.shape[1]
    assert len(inputs) == len(bought)
    assert np.array_equal(inputs[:, :width], view.candidate_inputs)
    assert np.array_equal(inputs[:, width : width + view.customer_inputs.shape[1]], view.customer_inputs[view.customer])
    assert np.array_equal(inputs[:, -view.step_inputs.shape[2] :], view.step_inputs[:, -1])


def test_calibration_gives_the_share_that_came() -> None:
    generator = np.random.default_rng(4)
    scores = generator.normal(size=4_000)
    bought = generator.random(4_000) < 1 / (1 + np.exp(-(scores - 1.0)))
    parts = [Part(np.zeros((10, 1), np.float32), each) for each in bought.reshape(400, 10)]
    assert calibrate(list(scores.reshape(400, 10)), parts) == pytest.approx((-1.0, 1.0), abs=0.15)


def test_it_cannot_be_published(fitted: FittedLightGbm, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Train basket_lstm instead"):
        fitted.save(tmp_path)


def test_without_the_library_a_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lightgbm" in installed()
    found = importlib.util.find_spec
    without = lambda name, *rest: None if name == "lightgbm" else found(name, *rest)  # noqa: E731
    monkeypatch.setattr(lightgbm_ranker, "find_spec", without)
    monkeypatch.setattr("training.models.find_spec", without)
    with pytest.raises(TrainingError, match=r"pip install 'nextbasket\[lightgbm\]'"):
        make_model("lightgbm")
    assert "lightgbm" not in installed()
    assert "basket_lstm" in installed()


def test_there_must_be_something_to_learn_from() -> None:
    with pytest.raises(TooLittleData, match="longer history"):
        LightGbm().fit(LOG[:20], until=UNTIL)
