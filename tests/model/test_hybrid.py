"""The hybrid model: Keras against numpy, its three modes, what it answers, bundles, and odd input."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line
from state.settings import Settings
from state.store.memory import MemoryStore
from stream.pipeline.model_watcher import warm_up
from tests.unit.answers import assert_same_answers
from tests.unit.features.shop import ITEMS, history, shop_log
from training.data.walk import StateReplay
from training.errors import TooLittleData, UnknownModel
from training.features.item_table import ItemTable
from training.features.two_tower.customer import customer_features
from training.model_table import MODEL_TABLE
from training.models import MODELS, make_model
from training.models.keras_weights import WEIGHTS
from training.models.two_tower.examples import batches, collect
from training.models.two_tower.fitting import Assembler, Negatives, scores
from training.models.two_tower.model import FittedHybrid, Hybrid
from training.registry import BundleRefused
from training.serving.two_tower.scorer import NETWORK, SCALES, SETTINGS, TwoTowerScorer, load

LOG = shop_log(300)
UNTIL = LOG[240].date
MODES = ("hybrid", "content", "collaborative")


@pytest.fixture(scope="module")
def fitted() -> dict[str, FittedHybrid]:
    return {name: Hybrid(name, epochs=3, width=8).fit(LOG, until=UNTIL, seed=3) for name in MODES}


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG[:240]:
        replay.apply(invoice)
    return replay


@pytest.mark.parametrize("mode", MODES)
def test_numpy_gives_what_keras_gives(mode: str, fitted: dict[str, FittedHybrid]) -> None:
    found = fitted[mode]
    encoding = found.scorer.encoding
    examples = collect(LOG, start=0, until=UNTIL, window=100, expected=400)
    assembler = Assembler(examples, encoding, Negatives())
    chosen = np.flatnonzero(examples.snapshot == examples.snapshot[-1])
    of_keras = scores(found.towers, assembler.batch(chosen, np.random.default_rng(1))).numpy()
    snapshot = examples.snapshots[-1]
    time_varying = snapshot.inputs.astype(np.float32)
    inputs = encoding.items(examples.table, UNTIL)
    tags = inputs.tags[: snapshot.size].copy()
    tags[:, -1] = encoding.band(time_varying[:, -1])
    inputs = inputs._replace(
        item_index=inputs.item_index[: snapshot.size],
        text=inputs.text[: snapshot.size],
        tags=tags,
        time_varying=encoding.time_varying(time_varying),
    )
    several = []
    for number, each in enumerate(examples.customers(chosen)):
        at, _ = examples.history.of(chosen[number : number + 1])
        weights, known = examples.weight[at].astype(np.float32), examples.known[at].astype(np.float32)
        several.append(each._replace(rows=examples.history.row[at].astype(np.int64), weights=weights, known=known))
    of_numpy = found.scorer.towers.scores(encoding.customers(several), inputs)
    assert of_numpy.shape == of_keras.shape
    assert of_numpy == pytest.approx(of_keras, abs=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_training_ends_better_than_it_began(mode: str, fitted: dict[str, FittedHybrid]) -> None:
    curve = fitted[mode].curves["training"]
    assert len(curve) == 3
    assert curve[-1] < curve[0]


@pytest.mark.parametrize("options", [{"representation": "relu"}, {"representation": "deep", "loss": "balanced_wmrb"}])
def test_every_choice_trains_the_same_from_the_same_seed(options: dict[str, Any]) -> None:
    first, again = (
        Hybrid("hybrid", epochs=2, width=4, negatives=20, max_examples=200, **options).fit(LOG, until=UNTIL, seed=5)
        for _ in range(2)
    )
    assert np.array_equal(first.scorer.towers.arrays["offered"], again.scorer.towers.arrays["offered"])
    assert first.curves == again.curves


def test_a_batch_ranks_what_was_drawn_and_what_was_bought(fitted: dict[str, FittedHybrid]) -> None:
    examples = collect(LOG, start=0, until=UNTIL, window=100, expected=400)
    encoding = fitted["content"].scorer.encoding
    assembler = Assembler(examples, encoding, Negatives(10))
    chosen = next(batches(examples, 16, np.random.default_rng(1)))
    batch = assembler.batch(chosen, np.random.default_rng(2))
    size = examples.snapshots[int(examples.snapshot[chosen[0]])].size
    bought_at, customer_index = examples.bought.of(chosen)
    assert batch.row[batch.bought[:, 1]].tolist() == examples.bought.row[bought_at].tolist()
    assert batch.bought[:, 0].tolist() == customer_index.tolist()
    assert batch.scale.tolist() == pytest.approx([size / 10] * len(chosen))
    assert not batch.allowed[batch.bought[:, 0], batch.bought[:, 1]].any()
    assert batch.allowed.sum(axis=1).max() <= 10


def test_a_balanced_loss_weighs_a_purchase_by_how_rare_its_item_is(fitted: dict[str, FittedHybrid]) -> None:
    examples = collect(LOG, start=0, until=UNTIL, window=100, expected=400)
    encoding = fitted["content"].scorer.encoding
    chosen = next(batches(examples, 16, np.random.default_rng(1)))
    bought_at, _ = examples.bought.of(chosen)
    times = Counter(examples.bought.row.tolist())
    rare = [1.0 / times[row] for row in examples.bought.row[bought_at].tolist()]
    assert len(set(rare)) > 3
    for balanced, weight in ((True, rare), (False, [1.0] * len(rare))):
        batch = Assembler(examples, encoding, Negatives(balanced=balanced)).batch(chosen, np.random.default_rng(2))
        assert batch.weight.tolist() == pytest.approx(weight)


def test_a_large_catalogue_is_drawn_from_and_has_fewer_snapshots(
    fitted: dict[str, FittedHybrid], monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = collect(LOG, start=0, until=UNTIL, window=100, expected=400)
    monkeypatch.setattr("training.models.two_tower.examples.SNAPSHOT_ROWS", 1_000)
    fewer = collect(LOG, start=0, until=UNTIL, window=100, expected=400)
    assert sum(each.size for each in fewer.snapshots) <= 1_000 + len(ITEMS)
    assert 1 < len(fewer.snapshots) < len(examples.snapshots)
    encoding = fitted["content"].scorer.encoding
    chosen = next(batches(examples, 16, np.random.default_rng(1)))
    size = examples.snapshots[int(examples.snapshot[chosen[0]])].size
    pairs = 12 * len(examples.bought.of(chosen)[0])
    monkeypatch.setattr("training.models.two_tower.fitting.MAX_MARGINS", pairs)
    for negatives, drawn in ((0, 12), (30, 12), (10, 10)):
        batch = Assembler(examples, encoding, Negatives(negatives)).batch(chosen, np.random.default_rng(2))
        assert batch.scale.tolist() == pytest.approx([size / drawn] * len(chosen))


def test_nothing_bought_at_a_moment_is_in_its_snapshot() -> None:
    examples = collect(LOG, start=0, until=UNTIL, window=100, expected=400)
    replay, sizes = StateReplay(100), []
    for invoice in LOG:
        sizes.append(len(replay.items))
        replay.apply(invoice)
    assert [snapshot.size for snapshot in examples.snapshots] == sorted(
        snapshot.size for snapshot in examples.snapshots
    )
    assert {snapshot.size for snapshot in examples.snapshots} <= set(sizes)


def test_first_purchases_are_learnt_from_and_what_lies_before_the_start_is_not() -> None:
    whole = collect(LOG, start=0, until=UNTIL, window=100, expected=400)
    sold: set[str] = set()
    bought: set[str | None] = set()
    firsts = 0
    for invoice in LOG[:240]:
        codes = invoice.purchased_codes
        firsts += bool(codes & sold) and invoice.customer_id not in bought
        sold |= codes
        bought |= {invoice.customer_id} if codes else set()
    assert (whole.rfmv[:, 1] == 0.0).sum() == firsts > 20
    late = collect(LOG, start=LOG[200].date, until=UNTIL, window=100, expected=80)
    assert 0 < len(late.snapshot) <= 80


@pytest.mark.parametrize("mode", MODES)
def test_every_customer_gets_an_answer(mode: str, fitted: dict[str, FittedHybrid], replay: StateReplay) -> None:
    scorer = fitted[mode].scorer
    now = UNTIL + DAY
    odd = [
        CustomerHistory("nobody"),
        history((1, {"unheard of": 1})),
        history((1, {ITEMS[0]: 2}), (2, {ITEMS[0]: -2})),
        history((UNTIL, {ITEMS[0]: 1})),
        history(*((UNTIL + day, dict.fromkeys(ITEMS, 1)) for day in range(30))),
    ]
    histories = [*odd, *replay.histories.values()] * 2
    predictions = scorer.predict(histories, replay.items, now, 10)
    assert len(predictions) == len(histories)
    for prediction in predictions:
        chances = [candidate.probability for candidate in prediction.candidates]
        codes = [candidate.stock_code for candidate in prediction.candidates]
        assert len(codes) == len(set(codes)) == 10
        assert chances == sorted(chances, reverse=True)
        assert 0.0 <= chances[-1] <= chances[0] <= 1.0
    alone = scorer.predict([histories[7]], replay.items, now, 10)[0]
    assert [each.stock_code for each in alone.candidates] == [each.stock_code for each in predictions[7].candidates]
    assert scorer.predict([odd[0]], ItemTable(), now, 10)[0].candidates == []
    warm_up(scorer)


def _attributed(codes: Sequence[str]) -> list[Invoice]:
    """Women buy red things and men blue ones, whichever of them."""
    generator = np.random.default_rng(2)
    log = []
    for number in range(400):
        person = int(generator.integers(40))
        red = person % 2 == 0
        some = generator.choice([code for code in codes if (int(code) % 2 == 0) == red], 3, replace=False)
        lines = tuple(Line(str(code), THOUSAND, 1.0, attributes={"colour": "red" if red else "blue"}) for code in some)
        gender = {"gender": "F" if red else "M", "birth_date": "1980-01-01"}
        log.append(Invoice(f"{number:06d}", f"c{person}", 1_300_000_000 + number * DAY // 4, lines, attributes=gender))
    return log


def test_an_item_and_a_customer_never_seen_are_known_by_their_attributes() -> None:
    """Through the state that a worker reads: both come with events after the training."""
    log = _attributed(ITEMS[:40])
    scorer = Hybrid("hybrid", epochs=6, width=8).fit(log, until=log[-1].date + 1, seed=1).scorer
    store = MemoryStore(Settings())
    now = log[-1].date + DAY
    new = tuple(
        Line(code, THOUSAND, 1.0, attributes={"colour": colour}) for code, colour in (("r", "red"), ("b", "blue"))
    )
    store.apply([*log, Invoice("x", "other", now, new)], clock_ms=1)
    items = ItemTable(store.items().states.values())
    woman = next(each for each in store.histories() if each.attributes.get("gender") == "F")
    ranked = [each.stock_code for each in scorer.predict([woman], items, now, 99)[0].candidates]
    assert ranked.index("r") < ranked.index("b")
    man = CustomerHistory("new", dated_attributes={"gender": (now, "M")})
    first = [each.stock_code for each in scorer.predict([man], items, now, 10)[0].candidates]
    assert sum(int(code) % 2 == 1 for code in first if code.isdigit()) >= 7
    born = CustomerHistory("born", dated_attributes={"birth_date": (now, "1980-01-01")})
    nobody = CustomerHistory("nobody")
    assert scorer.predict([born], items, now, 10) != scorer.predict([nobody], items, now, 10)


@pytest.mark.parametrize("mode", MODES)
def test_who_took_everything_back_is_a_customer_without_purchases(
    mode: str, fitted: dict[str, FittedHybrid], replay: StateReplay
) -> None:
    took_back = history((UNTIL - DAY, {ITEMS[0]: 2}), (UNTIL, {ITEMS[0]: -2}))
    (one,), (nobody,) = (
        fitted[mode].scorer.predict([each], replay.items, UNTIL, 10) for each in (took_back, CustomerHistory("nobody"))
    )
    assert [each.stock_code for each in one.candidates] == [each.stock_code for each in nobody.candidates]


def test_attributes_that_make_no_sense_change_nothing(fitted: dict[str, FittedHybrid], replay: StateReplay) -> None:
    scorer = fitted["hybrid"].scorer
    some = next(iter(replay.histories.values()))
    attributes = {"gender": "?", "birth_date": "yesterday", "planet": "Mars"}
    odd = CustomerHistory(
        some.customer_id, some.invoices, dated_attributes={key: (1, value) for key, value in attributes.items()}
    )
    (plain,), (strange,) = (scorer.predict([each], replay.items, UNTIL, 10) for each in (some, odd))
    assert plain == strange


@pytest.mark.parametrize("mode", MODES)
def test_a_bundle_comes_back_as_it_was(
    mode: str, fitted: dict[str, FittedHybrid], replay: StateReplay, tmp_path: Path
) -> None:
    fitted[mode].save(tmp_path)
    again = load(tmp_path, "v1")
    assert (again.name, again.version) == (mode, "v1")
    histories = list(replay.histories.values())
    before, after = (scorer.predict(histories, replay.items, UNTIL, 20) for scorer in (fitted[mode].scorer, again))
    assert_same_answers(after, before)
    assert (tmp_path / WEIGHTS).is_file()


@pytest.mark.parametrize("file", [SETTINGS, NETWORK, SCALES, "vocabulary.json", "text.npz"])
def test_a_damaged_bundle_is_refused(file: str, fitted: dict[str, FittedHybrid], tmp_path: Path) -> None:
    fitted["hybrid"].scorer.save(tmp_path)
    (tmp_path / file).write_bytes(b"nothing of the kind")
    with pytest.raises(BundleRefused):
        load(tmp_path, "v1")


def test_a_bundle_of_another_shape_is_refused(fitted: dict[str, FittedHybrid], tmp_path: Path) -> None:
    scorer: TwoTowerScorer = fitted["hybrid"].scorer
    scorer.save(tmp_path)
    short = {name: array[:-1] if name == "offered" else array for name, array in scorer.towers.arrays.items()}
    np.savez(tmp_path / NETWORK, **short)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
    with pytest.raises(BundleRefused):
        load(tmp_path, "v1")


@pytest.mark.parametrize(
    "options", [{"mode": "x"}, {"representation": "x"}, {"loss": "x"}, {"width": 0}, {"epochs": 0}, {"negatives": -1}]
)
def test_a_choice_that_is_none_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UnknownModel):
        make_model("hybrid", **options)


def test_too_little_to_learn_from() -> None:
    for log in ([], LOG[:20]):
        with pytest.raises(TooLittleData, match="longer history"):
            Hybrid().fit(log, until=UNTIL)


@pytest.mark.parametrize("name", [*MODES, "random", "popularity"])
def test_it_can_be_named(name: str) -> None:
    assert name in MODELS
    assert MODEL_TABLE[name].loader is not None


def test_a_customer_whose_purchases_lie_ahead_has_bought_nothing_yet(replay: StateReplay) -> None:
    each = customer_features(history((UNTIL + DAY, {ITEMS[0]: 1})), replay.items, UNTIL)
    assert len(each.rows) == 0
    assert each.rfmv.tolist() == [0.0] * 4
