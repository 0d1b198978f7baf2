"""The simple models: formulas by hand, fits, and bundles."""

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest

from state.domain.history import CustomerHistory, add_invoice
from state.events.dates import DAY
from state.events.invoice import Invoice
from tests.unit.answers import assert_same_answers
from tests.unit.evaluation.purchases import START, invoice
from training.data.walk import StateReplay
from training.errors import TooLittleData, UnknownModel
from training.evaluation.daily_update import evaluation_scorer
from training.evaluation.model_metrics import metric_means, model_metrics
from training.evaluation.prequential import evaluate
from training.evaluation.split import parse_span
from training.features.item_table import ItemTable
from training.features.item_to_item import strongest
from training.models import BASELINES, MODELS, make_model
from training.models.baselines.model import Baseline, fit_all, fit_item_to_item
from training.models.calibration import logistic
from training.registry import BundleRefused, write_vocabulary
from training.serving.baselines.ease import ARRAYS, EaseWeights
from training.serving.baselines.formulas import customer_purchases
from training.serving.baselines.scorer import BaselineScorer, PlattCalibration, load

LOG = [
    invoice("1", "ann", 0, "a", "b"),
    invoice("2", "bob", 1, "a", "c"),
    invoice("3", "ann", 7, "a"),
    invoice("4", "cid", 14, "d"),
    invoice("5", "dan", 14, "d"),
]
NOW = START + 14 * DAY


def replayed(log: list[Invoice]) -> StateReplay:
    replay = StateReplay(window=100)
    for each in log:
        replay.apply(each)
    return replay


def scores(name: str, customer: str, log: list[Invoice] = LOG, now: int = NOW) -> dict[str, float]:
    replay = replayed(log)
    fitted = fit_all([name], log, until=now, calibrate=False)[name].scorer.fitted
    codes, values, _ = BaselineScorer(name, "0", fitted=fitted).rank(replay.histories[customer], replay.items, now, 100)
    return dict(zip(codes, values.tolist(), strict=True))


def decayed(half_life: float, *days_ago: float) -> float:
    return sum((math.pow(0.5, days / half_life) for days in days_ago), 0.0)


def test_most_sold_ever_and_lately() -> None:
    ever = scores("g_topfreq", "ann")
    assert list(ever) == ["a", "d", "b", "c"]
    assert [round(value) for value in ever.values()] == [3, 2, 1, 1]
    lately = scores("recent_g_topfreq", "ann")
    assert list(lately) == ["d", "a", "c", "b"]
    assert lately["d"] == pytest.approx(2.0)
    assert lately["a"] == pytest.approx(decayed(7, 14, 13, 7), abs=1e-6)


def test_what_the_customer_bought_most_then_what_was_bought_last() -> None:
    log = [invoice("1", "ann", 0, "a", "b"), invoice("2", "ann", 1, "b", "c"), invoice("3", "bob", 2, "d")]
    assert list(scores("p_topfreq", "ann", log)) == ["b", "c", "a"]


def test_personal_counts_with_ties_by_demand() -> None:
    found = scores("gp_topfreq", "ann")
    assert list(found) == ["a", "b", "d", "c"]
    d = {"a": decayed(21, 14, 13, 7), "b": decayed(21, 14), "c": decayed(21, 13), "d": 2.0}
    greatest = max(d.values())
    assert found["a"] == pytest.approx(2 + 0.001 * d["a"] / greatest, abs=1e-6)
    assert found["b"] == pytest.approx(1 + 0.001 * d["b"] / greatest, abs=1e-6)
    assert found["c"] == pytest.approx(0.001 * d["c"] / greatest, abs=1e-6)


def test_counts_times_demand() -> None:
    found = scores("count_demand", "ann")
    d = {"a": decayed(7, 14, 13, 7), "b": decayed(7, 14), "d": 2.0}
    q = {code: math.log1p(value) / math.log1p(2.0) for code, value in d.items()}
    assert found["a"] == pytest.approx(2 * (0.001 + q["a"]) + 0.001 * q["a"], abs=1e-6)
    assert found["b"] == pytest.approx((0.001 + q["b"]) + 0.001 * q["b"], abs=1e-6)
    assert found["d"] == pytest.approx(0.001, abs=1e-6)


def test_ease_is_the_published_formula() -> None:
    codes = ["a", "b", "c", "d"]
    X = np.asarray([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]], float)
    P = np.linalg.inv(X.T @ X + 300.0 * np.eye(4))
    B = np.eye(4) - P / np.diag(P)[None, :]
    h = np.asarray([0.95 + 1.0, 0.95, 0.0, 0.0])
    z = h @ B / np.linalg.norm(h)
    related = fit_item_to_item(LOG, NOW + 1)
    replay = replayed(LOG)
    bought = customer_purchases(replay.histories["ann"], replay.items)
    rows = [replay.items.rows[code] for code in codes]
    assert related.scores(bought, replay.items)[rows] == pytest.approx(z, abs=1e-7)


def test_ease_learns_only_from_what_was_before() -> None:
    assert fit_item_to_item(LOG, START + 7 * DAY).codes == ["a", "b", "c"]
    assert fit_item_to_item(LOG, START).codes == []


def test_because_names_the_item_that_speaks_most() -> None:
    items = replayed(LOG).items
    history = replayed(LOG).histories["ann"]
    weights = np.zeros((4, 4), np.float32)
    weights[0, 2], weights[1, 2], weights[0, 1] = 0.2, 0.5, -0.3  # a → c, b → c, a against b
    scorer = BaselineScorer("ease", "0", fitted=EaseWeights(["a", "b", "c", "d"], weights))
    found = {each.stock_code: each.source_item for each in scorer.predict([history], items, NOW, 4)[0].candidates}
    assert found == {"c": "b", "a": None, "d": None, "b": None}


@pytest.mark.parametrize("form", ["weights that are not 0", "lists of one length"])
def test_neighbour_lists_of_all_weights_score_and_explain_as_the_whole_matrix(form: str, tmp_path: Path) -> None:
    replay = replayed(LOG)
    bought = customer_purchases(replay.histories["ann"], replay.items)
    weights = np.random.default_rng(2).normal(size=(4, 4)).astype(np.float32)
    np.fill_diagonal(weights, 0.0)
    whole = EaseWeights(["a", "b", "c", "d"], weights)
    write_vocabulary(tmp_path, whole.codes)

    neighbours = strongest(weights, 4)
    if form == "lists of one length":  # as older bundles hold them
        np.savez(tmp_path / ARRAYS, **neighbours._asdict())
    else:
        EaseWeights(whole.codes, neighbours).save(tmp_path)
    lists = EaseWeights.load(tmp_path)

    rows = np.arange(4)
    np.testing.assert_allclose(lists.scores(bought, replay.items), whole.scores(bought, replay.items), rtol=1e-6)
    np.testing.assert_array_equal(
        lists.source_rows(rows, bought, replay.items), whole.source_rows(rows, bought, replay.items)
    )
    assert lists.bought_together(["a", "c"]) == pytest.approx(whole.bought_together(["a", "c"]))


def test_no_item_of_a_large_catalogue_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.models.baselines.model.EXACT_ITEMS", 2)

    fitted = fit_item_to_item(LOG, NOW + 1)

    assert sorted(fitted.codes) == ["a", "b", "c", "d"]
    assert set(fitted.bought_together(["a"])) >= {"b", "c"}


def test_a_return_counts_once_nothing_is_left() -> None:
    part = [invoice("1", "ann", 0, "a"), invoice("2", "ann", 1, "a"), invoice("3", "ann", 2, "a", back=True)]
    assert customer_purchases(replayed(part).histories["ann"], ItemTable()).times.tolist() == [2.0]
    whole = [*part, invoice("4", "ann", 3, "a", back=True)]
    assert customer_purchases(replayed(whole).histories["ann"], ItemTable()).times.tolist() == []


@pytest.mark.parametrize("name", BASELINES)
def test_who_took_everything_back_gets_what_is_in_demand(name: str) -> None:
    log = [*LOG, invoice("6", "eve", 13, "b"), invoice("7", "eve", 14, "b", back=True)]
    found = list(scores(name, "eve", log))
    assert found[0] == ("a" if name in ("g_topfreq", "gp_topfreq") else "d")  # over weeks a sold more
    assert set(found) == {"a", "b", "c", "d"}


@pytest.mark.parametrize("name", BASELINES)
def test_an_item_and_a_customer_nobody_has_seen(name: str) -> None:
    scorer = Baseline(name).fit(LOG, until=NOW + 1).scorer
    history = add_invoice(CustomerHistory("new"), invoice("9", "new", 14, "never seen"), 100).history
    for items in (replayed(LOG).items, ItemTable()):
        (prediction,) = scorer.predict([history], items, NOW, 10)
        chances = [candidate.probability for candidate in prediction.candidates]
        assert chances == sorted(chances, reverse=True)
        assert all(0.0 <= chance <= 1.0 for chance in chances)
        assert "never seen" in [candidate.stock_code for candidate in prediction.candidates]


def test_where_no_demand_is_left_what_sold_most_leads() -> None:
    found = scores("count_demand", "cid", now=NOW + 100 * 365 * DAY)
    assert list(found)[:3] == ["d", "a", "b"]
    assert all(math.isfinite(value) for value in found.values())


def test_no_more_than_were_asked_for() -> None:
    replay = replayed(LOG)
    scorer = BaselineScorer("count_demand", "0")
    assert [c.stock_code for c in scorer.predict([replay.histories["ann"]], replay.items, NOW, 2)[0].candidates] == [
        "a",
        "b",
    ]


def test_a_table_that_grows_and_another_table_are_read_anew() -> None:
    related = fit_item_to_item(LOG, NOW + 1)
    scorer = BaselineScorer("ease", "0", fitted=related)
    replay = StateReplay(window=100)
    for each in LOG[:2]:
        replay.apply(each)
    first = scorer.rank(replay.histories["ann"], replay.items, NOW, 10)
    for each in LOG[2:]:
        replay.apply(each)
    grown = scorer.rank(replay.histories["ann"], replay.items, NOW, 10)
    fresh = replayed(LOG)
    again = scorer.rank(fresh.histories["ann"], fresh.items, NOW, 10)
    assert len(first[0]) == 3
    assert grown[0] == again[0]
    assert grown[1] == pytest.approx(again[1])


def test_the_order_of_probabilities_is_that_of_scores() -> None:
    calibration = PlattCalibration(bias=-1.0, slope=0.3, per_basket=-0.2)
    p = calibration.probabilities(np.asarray([3.0, 1.0, 0.5, 0.0, -1.0]), 4)
    assert all(before >= after for before, after in itertools.pairwise(p))
    assert p[1] == pytest.approx(1 / (1 + math.exp(1.0 - 0.3 * math.log(1.0001) + 0.2 * math.log(5))))


def test_logistic_regression_minimises_the_penalised_loss() -> None:
    """At the minimum the gradient of Σ −log p + ½ ‖w‖² is 0, with the weight of the bias in the penalty."""
    generator = np.random.default_rng(3)
    inputs = np.stack([np.ones(200), generator.normal(size=200)], axis=1)
    p = 1 / (1 + np.exp(-(inputs @ np.asarray([-1.0, 2.0]))))
    bought = (generator.random(200) < p).astype(float)
    weights = np.asarray(logistic(inputs, bought))
    fitted = 1 / (1 + np.exp(-(inputs @ weights)))
    assert weights == pytest.approx([-1.0, 2.0], abs=0.5)
    assert inputs.T @ (fitted - bought) + weights == pytest.approx([0.0, 0.0], abs=1e-6)


def test_logistic_regression_of_outcomes_that_are_all_alike_is_finite() -> None:
    (bias,) = logistic(np.ones((10, 1)), np.zeros(10))
    assert 10 / (1 + math.exp(-bias)) == pytest.approx(-bias, abs=1e-6)  # the gradient is 0


def test_a_fit_is_the_same_whatever_the_seed_and_whatever_comes_after() -> None:
    later = [*LOG, invoice("6", "ann", 20, "z")]
    for name in BASELINES:
        one = Baseline(name).fit(LOG, until=NOW + 1, seed=1).scorer
        two = Baseline(name).fit(later, until=NOW + 1, seed=2).scorer
        assert one.calibration == two.calibration
        assert np.array_equal(one.return_time.curves, two.return_time.curves)
        replay = replayed(LOG)
        histories = list(replay.histories.values())
        assert one.predict(histories, replay.items, NOW, 10) == two.predict(histories, replay.items, NOW, 10)


def test_there_must_be_something_to_learn_from() -> None:
    with pytest.raises(TooLittleData, match="Nothing was bought before"):
        Baseline("gp_topfreq").fit(LOG, until=START)
    with pytest.raises(TooLittleData):
        fit_all(["ease"], [], until=NOW)


def test_names() -> None:
    assert set(BASELINES) <= set(MODELS)
    assert make_model("count_demand").name == "count_demand"
    with pytest.raises(UnknownModel, match="Did you mean gp_topfreq"):
        make_model("gp_topfrq")
    with pytest.raises(UnknownModel):
        Baseline("basket_lstm")


@pytest.mark.parametrize("name", BASELINES)
def test_a_bundle_answers_as_what_was_fitted(name: str, tmp_path: Path) -> None:
    fitted = Baseline(name).fit(LOG, until=NOW + 1)
    fitted.save(tmp_path)
    loaded = load(tmp_path, "v1")
    assert (loaded.name, loaded.version) == (name, "v1")
    replay = replayed(LOG)
    histories = list(replay.histories.values())
    found, expected = (each.predict(histories, replay.items, NOW, 10) for each in (loaded, fitted.scorer))
    assert_same_answers(found, expected)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("baseline.json", b"{}"),
        ("baseline.json", b'{"name":"unheard","calibration":{}}'),
        ("baseline.json", b'{"name":"ease","calibration":{"slope":-1.0}}'),
        ("returns.npz", b"not an archive"),
        ("ease.npz", b""),
        ("vocabulary.json", b'{"stock_codes":["a"]}'),
    ],
)
def test_a_damaged_bundle_is_refused(file: str, content: bytes, tmp_path: Path) -> None:
    Baseline("ease").fit(LOG, until=NOW + 1).save(tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(BundleRefused):
        load(tmp_path, "v1")


def test_a_bundle_is_no_pickle(tmp_path: Path) -> None:
    Baseline("gp_topfreq").fit(LOG, until=NOW + 1).save(tmp_path)
    np.savez(tmp_path / "returns.npz", curves=np.asarray([{"a": 1}], object))
    with pytest.raises(BundleRefused):
        load(tmp_path, "v1")


needs_data = pytest.mark.skipif(
    "NEXTBASKET_DATA" not in os.environ, reason="needs UCI Online Retail at NEXTBASKET_DATA"
)
SHOWN = ("recall@10", "ndcg@10", "hit@1", "recall@20", "recall@20_repeat", "recall@20_new")


@pytest.fixture(scope="module")
def retail() -> list[Invoice]:
    from state.settings import load_settings
    from training.data.cleaning.clean import clean
    from training.data.cleaning.invoices import invoices
    from training.data.tables.invoice_table import load as read

    return invoices(clean(read(Path(os.environ["NEXTBASKET_DATA"])), load_settings({})))


@needs_data
def test_the_figures_of_the_protocol(retail: list[Invoice]) -> None:
    """The table of docs/models/baselines.md, autumn, within .002."""
    log = retail
    evaluated = parse_span("2011-11-09", "2011-12-10")
    expected = {
        "recent_g_topfreq": (0.0652, 0.1199, 0.1582, 0.1031, 0.134, 0.066),
        "gp_topfreq": (0.1917, 0.2869, 0.3275, 0.2761, 0.539, 0.005),
        "count_demand": (0.1989, 0.2970, 0.3426, 0.2859, 0.556, 0.004),
        "ease": (0.1226, 0.2050, 0.2258, 0.1959, 0.330, 0.044),
        "ease_count_demand": (0.2052, 0.3073, 0.3506, 0.2950, 0.565, 0.012),
    }
    fitted = fit_all(list(expected), log, until=evaluated.start, calibrate=False)
    result = evaluate(log, {name: each.scorer for name, each in fitted.items()}, evaluated)["visit"]
    assert len(result.cases) == 2_516
    found = metric_means({name: model_metrics(result, name) for name in expected})
    for name, figures in expected.items():
        assert tuple(found[name][metric] for metric in SHOWN) == pytest.approx(figures, abs=0.002), name


@needs_data
@pytest.mark.parametrize(
    ("days", "models", "expected"),
    [
        (
            ("2011-11-09", "2011-12-10"),
            {"tifu_knn": {}, "up_cf": {}},
            {
                "tifu_knn": (0.1935, 0.2838, 0.3112, 0.2781, 0.530, 0.005),
                "up_cf": (0.1884, 0.2821, 0.3144, 0.2728, 0.524, 0.007),
            },
        ),
        (
            ("2011-06-01", "2011-08-01"),
            {"tifu_knn": {"neighbours": 100, "within_decay": 1.0, "group_decay": 0.9, "own_share": 0.3}},
            {"tifu_knn": (0.1948, 0.2897, 0.3370, 0.2766, 0.588, 0.011)},
        ),
    ],
    ids=["autumn", "summer"],
)
def test_the_figures_of_neighbours(
    days: tuple[str, str],
    models: dict[str, dict[str, float]],
    expected: dict[str, tuple[float, ...]],
    retail: list[Invoice],
) -> None:
    """Those of docs/models/baselines.md, with neighbours as of the beginning of each day."""
    evaluated = parse_span(*days)
    scorers = {}
    for name, options in models.items():
        fitted = make_model(name, calibrate=False, **options).fit(retail, until=evaluated.start, seed=1)
        scorers[name] = evaluation_scorer(fitted, daily_updates=True)
    result = evaluate(retail, scorers, evaluated, depth=20)["visit"]
    found = metric_means({name: model_metrics(result, name) for name in scorers})
    for name, figures in expected.items():
        assert tuple(found[name][metric] for metric in SHOWN) == pytest.approx(figures, abs=0.001), name
