"""TIFU-KNN and UP-CF against a slow reading of the papers, and what service asks of them."""

import math
from pathlib import Path

import numpy as np
import pytest

from state.domain.history import CustomerHistory, add_invoice
from state.events.dates import DAY
from state.events.invoice import Invoice
from tests.unit.answers import assert_same_answers
from tests.unit.evaluation.purchases import START, invoice
from training.data.walk import StateReplay
from training.errors import UnknownModel
from training.features.item_table import ItemTable
from training.models import make_model
from training.models.baselines.model import fit_all
from training.registry import BundleRefused
from training.serving.baselines import neighbours as baseline_neighbours
from training.serving.baselines.neighbours import CustomerNeighbourhood, Method, TifuKnn, UpCf
from training.serving.baselines.scorer import load

Vector = dict[str, float]
Baskets = list[list[str]]

FIT = START + 50 * DAY


def shop(seed: int = 5, customers: int = 12, items: int = 15) -> list[Invoice]:
    """Random baskets of a few customers, in order of time; half of them lie after ``FIT``."""
    generator = np.random.default_rng(seed)
    days = np.sort(generator.uniform(0, 100, 90))
    return [
        invoice(
            f"{number:03}",
            f"c{generator.integers(customers)}",
            float(day),
            *(f"i{item}" for item in generator.choice(items, generator.integers(1, 6), replace=False)),
        )
        for number, day in enumerate(days)
    ]


def replayed(log: list[Invoice], until: int) -> StateReplay:
    replay = StateReplay(window=100)
    for each in log:
        if each.date < until:
            replay.apply(each)
    return replay


def baskets_of(log: list[Invoice], customer: str, until: int) -> Baskets:
    return [[line.stock_code for line in i.lines] for i in log if i.customer_id == customer and i.date < until]


def weighed(baskets: Baskets, weights: list[float]) -> Vector:
    vector: Vector = {}
    for basket, weight in zip(baskets, weights, strict=True):
        for code in basket:
            vector[code] = vector.get(code, 0.0) + weight
    return vector


def tifu_vector(baskets: Baskets, method: TifuKnn) -> Vector:
    """Equations 1 to 3 of the paper: mean of decayed baskets in each group, then the decayed mean of the groups."""
    size = math.ceil(len(baskets) / method.groups)
    groups: list[Baskets] = []
    left = list(baskets)
    while left:
        groups.insert(0, left[-size:])
        del left[-size:]
    user: Vector = {}
    for number, group in enumerate(groups, start=1):
        for position, basket in enumerate(group, start=1):
            for code in basket:
                value = method.within_decay ** (len(group) - position) / len(group)
                user[code] = user.get(code, 0.0) + method.group_decay ** (len(groups) - number) * value / len(groups)
    return user


def tifu_scores(log: list[Invoice], customer: str, now: int, method: TifuKnn) -> Vector:
    own = tifu_vector(baskets_of(log, customer, now), method)
    codes = {line.stock_code for i in log for line in i.lines}
    others = {
        other: tifu_vector(baskets_of(log, other, FIT), method)
        for other in {i.customer_id or "" for i in log if i.date < FIT} - {customer}
    }

    def distance(other: Vector) -> float:
        return math.dist([own.get(c, 0.0) for c in sorted(codes)], [other.get(c, 0.0) for c in sorted(codes)])

    near = sorted(others.values(), key=distance)[: method.neighbours]
    share = method.own_share
    return {
        code: share * own.get(code, 0.0) + (1 - share) * sum(each.get(code, 0.0) for each in near) / len(near)
        for code in codes
    }


def up_cf_scores(log: list[Invoice], customer: str, now: int, method: UpCf) -> Vector:
    def popularity(baskets: Baskets) -> Vector:
        newest = baskets[-method.newest :]
        return {c: sum(c in b for b in newest) / len(newest) for c in {code for b in newest for code in b}}

    mine = baskets_of(log, customer, now)
    ever = {code for basket in mine for code in basket}
    scores = popularity(mine)
    similar = []
    for other in {i.customer_id or "" for i in log if i.date < FIT} - {customer}:
        theirs = baskets_of(log, other, FIT)
        items = {code for basket in theirs for code in basket}
        norm = len(ever) ** method.asymmetry * len(items) ** (1 - method.asymmetry)
        similar.append((len(ever & items) / norm, theirs))
    for similarity, theirs in similar:
        for code, value in popularity(theirs).items():
            scores[code] = scores.get(code, 0.0) + similarity**method.locality * value
    return scores


METHODS: list[Method] = [
    TifuKnn(),
    TifuKnn(neighbours=3, groups=3, within_decay=0.8, group_decay=0.6, own_share=0.4),
    TifuKnn(neighbours=5, groups=1, within_decay=0.5),
    UpCf(),
    UpCf(newest=2, asymmetry=0.25, locality=1.0),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_scores_are_those_of_the_papers(method: Method) -> None:
    """Others as they stood at the fit, the customer as of now."""
    log = shop()
    until = START + 90 * DAY
    fitted = replayed(log, FIT)
    name = "tifu_knn" if isinstance(method, TifuKnn) else "up_cf"
    scorer = fit_all([name], log, until=FIT, calibrate=False, methods={name: method})[name].scorer
    assert isinstance(scorer.fitted, CustomerNeighbourhood)
    assert scorer.fitted.codes == fitted.items.codes
    now = replayed(log, until)
    for customer, history in now.histories.items():
        if isinstance(method, TifuKnn):
            expected = tifu_scores(log, customer, until, method)
        else:
            expected = up_cf_scores(log, customer, until, method)
        codes, scores, _ = scorer.rank(history, now.items, until, 100)
        assert len(codes) == len(now.items)
        assert scores == pytest.approx([expected.get(code, 0.0) for code in codes], abs=1e-6)


def test_worked_by_hand() -> None:
    tifu = TifuKnn(groups=2, within_decay=0.5, group_decay=0.5)
    # Five baskets, groups of three: the older group has two. (½^group) (½^position) / members / groups.
    assert tifu.weights(5) == pytest.approx([0.5 * 0.5 / 2 / 2, 0.5 / 2 / 2, 0.25 / 3 / 2, 0.5 / 3 / 2, 1 / 3 / 2])
    assert tifu.weights(1) == pytest.approx([1.0])
    assert UpCf(newest=2).weights(3) == pytest.approx([0.0, 0.5, 0.5])
    assert UpCf(newest=10).weights(4) == pytest.approx([0.25] * 4)
    log = [invoice("1", "ann", 0, "a", "b"), invoice("2", "bob", 1, "a", "c"), invoice("3", "cid", 2, "d")]
    scorer = fit_all(["up_cf"], log, until=FIT, calibrate=False)["up_cf"].scorer
    replay = replayed(log, FIT)
    codes, scores, _ = scorer.rank(replay.histories["ann"], replay.items, FIT, 10)
    # bob shares 1 of 2 items with ann: (1 / 2)^5 = 1/32; cid none.
    assert dict(zip(codes, scores.tolist(), strict=True)) == pytest.approx(
        {"a": 1 + 1 / 32, "b": 1, "c": 1 / 32, "d": 0}, abs=1e-6
    )


def test_only_the_most_similar_count() -> None:
    log = [invoice("1", "ann", 0, "a", "b"), invoice("2", "bob", 1, "a", "b", "c"), invoice("3", "cid", 2, "a", "d")]
    replay = replayed(log, FIT)
    for neighbours, d in ((1, 0.0), (2, (1 / 2) ** 5)):
        methods = {"up_cf": UpCf(neighbours=neighbours)}
        scorer = fit_all(["up_cf"], log, until=FIT, calibrate=False, methods=methods)["up_cf"].scorer
        codes, scores, _ = scorer.rank(replay.histories["ann"], replay.items, FIT, 10)
        found = dict(zip(codes, scores.tolist(), strict=True))
        assert found["c"] == pytest.approx((2 / (2**0.75 * 3**0.25)) ** 5, abs=1e-6)
        assert found["d"] == pytest.approx(d, abs=1e-6)


@pytest.mark.parametrize("name", ["tifu_knn", "up_cf"])
def test_nobody_is_a_neighbour_of_themselves(name: str) -> None:
    log = [invoice("1", "ann", 0, "a", "b"), invoice("2", "bob", 1, "x")]
    scorer = fit_all([name], log, until=FIT, calibrate=False)[name].scorer
    changed = CustomerHistory("ann")
    changed = add_invoice(changed, invoice("9", "ann", 60, "a"), 100).history
    codes, scores, _ = scorer.rank(changed, replayed(log, FIT).items, FIT, 10)
    assert dict(zip(codes, scores.tolist(), strict=True))["b"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", ["tifu_knn", "up_cf"])
def test_because_is_what_similar_customers_share(name: str) -> None:
    """Those who bought new item n all have b as well, and only some of them a."""
    log = [
        invoice("1", "ann", 0, "a", "b"),
        invoice("2", "bob", 1, "b", "n"),
        invoice("3", "cid", 2, "a", "b", "n"),
        invoice("4", "dan", 3, "z"),
    ]
    scorer = fit_all([name], log, until=FIT, calibrate=False)[name].scorer
    replay = replayed(log, FIT)
    (prediction,) = scorer.predict([replay.histories["ann"]], replay.items, FIT, 10)
    because = {candidate.stock_code: candidate.source_item for candidate in prediction.candidates}
    assert because["n"] == "b"
    assert because["z"] is None


@pytest.mark.parametrize(
    ("name", "options"),
    [("tifu_knn", {"neighbours": 4, "groups": 2, "own_share": 0.2}), ("up_cf", {"newest": 2, "asymmetry": 0.3})],
)
def test_a_bundle_answers_as_what_was_fitted_with_its_options(
    name: str, options: dict[str, float], tmp_path: Path
) -> None:
    log = shop()
    fitted = make_model(name, **options).fit(log, until=FIT, seed=1)
    fitted.save(tmp_path)
    loaded = load(tmp_path, "v1")
    now = replayed(log, FIT + 40 * DAY)
    histories = list(now.histories.values())
    answers = fitted.scorer.predict(histories, now.items, FIT + 40 * DAY, 10)
    assert_same_answers(loaded.predict(histories, now.items, FIT + 40 * DAY, 10), answers)
    usual = make_model(name).fit(log, until=FIT, seed=1).scorer
    assert usual.predict(histories, now.items, FIT + 40 * DAY, 10) != answers
    assert b"c3" not in b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.suffix == ".json")


def test_those_who_bought_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    log = [invoice("1", "ann", 0, "a", "b"), invoice("2", "bob", 1, "b"), invoice("3", "cid", 2, "c", "d")]
    replay = replayed(log, FIT)
    histories = list(replay.histories.values())

    def kept() -> list[bool]:
        crowd = CustomerNeighbourhood.fit(UpCf(), histories, replay.items)
        return [bool(crowd.has_id(name).any()) for name in ("ann", "bob", "cid")]

    assert kept() == [True, True, True]
    monkeypatch.setattr(baseline_neighbours, "MAX_CUSTOMERS", 2)
    assert kept() == [False, True, True]
    monkeypatch.setattr(baseline_neighbours, "MAX_ENTRIES", 2)
    assert kept() == [False, False, True]


@pytest.mark.parametrize("method", [TifuKnn(), UpCf()], ids=str)
def test_a_crowd_of_nobody(method: Method) -> None:
    crowd = CustomerNeighbourhood.fit(method, [], ItemTable())
    replay = replayed(shop(), FIT)
    assert crowd.codes == []
    fitted = fit_all(["tifu_knn"], [invoice("1", "ann", 0, "a")], until=FIT, calibrate=False)["tifu_knn"].scorer
    (prediction,) = fitted.predict([replay.histories["c1"]], replay.items, FIT, 3)
    assert len(prediction.candidates) == 3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tifu_knn", {"neighbours": 0}),
        ("tifu_knn", {"group_decay": 0.0}),
        ("tifu_knn", {"own_share": 1.5}),
        ("up_cf", {"newest": 0}),
        ("up_cf", {"locality": -1.0}),
    ],
)
def test_settings_that_mean_nothing_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(UnknownModel, match="needs"):
        make_model(name, **options)


@pytest.mark.parametrize(
    "change",
    [
        {"starts": np.asarray([0, 5, 2])},
        {"places": np.asarray([0, 99], np.int32)},
        {"values": np.asarray([np.nan, 1.0], np.float32)},
        {"method": np.frombuffer(b'{"method":"tifu_knn","groups":0}', np.uint8)},
        {"method": np.frombuffer(b'{"method":"unheard"}', np.uint8)},
        {"keys": np.asarray([{"a": 1}], object)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_damaged_vectors_are_refused(change: dict[str, np.ndarray], tmp_path: Path) -> None:
    log = [invoice("1", "ann", 0, "a"), invoice("2", "bob", 1, "b")]
    fit_all(["tifu_knn"], log, until=FIT, calibrate=False)["tifu_knn"].save(tmp_path)
    with np.load(tmp_path / baseline_neighbours.ARRAYS) as arrays:
        held = dict(arrays)
    assert load(tmp_path, "v1").name == "tifu_knn"
    np.savez(tmp_path / baseline_neighbours.ARRAYS, **(held | change))
    with pytest.raises(BundleRefused):
        load(tmp_path, "v1")
