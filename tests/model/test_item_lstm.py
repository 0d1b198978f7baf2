"""The three item LSTMs: sequences, Keras against numpy, what they answer, bundles, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line
from stream.pipeline.model_watcher import warm_up
from tests.model.test_text_encoders import Sentences
from tests.unit.answers import assert_same_answers
from tests.unit.features.shop import ITEMS, history, shop_log
from training.data.walk import StateReplay
from training.errors import TextEncoderUnavailable, TooLittleData
from training.model_table import MODEL_TABLE
from training.models import make_model
from training.models.item_lstm import FittedItemLstm, ItemLstm
from training.models.item_lstm.frequent_lstm import FrequentLstm
from training.models.item_lstm.label_lstm import LabelLstm
from training.models.item_lstm.network import ItemNetwork
from training.models.item_lstm.sequences import NO_TARGET, Purchase, item_sequences, most_purchased, windows
from training.models.item_lstm.text_lstm import TextLstm
from training.models.keras_weights import WEIGHTS
from training.registry import BundleRefused
from training.serving.item_lstm.network import NumpyItemNetwork
from training.serving.item_lstm.scorer import SEQUENCE_LENGTH, ItemLstmScorer, load
from training.serving.scorer import HORIZONS

LOG = shop_log(400)
UNTIL = LOG[300].date
NAMES = ("label_lstm", "frequent_lstm", "text_lstm")


@pytest.fixture(scope="module")
def fitted() -> dict[str, FittedItemLstm]:
    models: list[ItemLstm] = [
        LabelLstm(epochs=4),
        FrequentLstm(items=20, epochs=4),
        TextLstm(encoder="offline", epochs=4),
    ]
    return {model.name: model.fit(LOG, until=UNTIL, seed=3) for model in models}


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG[:300]:
        replay.apply(invoice)
    return replay


def invoice(number: str, customer: str | None, date: int, *codes: str) -> Invoice:
    return Invoice(number, customer, date, tuple(Line(code, THOUSAND, 1.0) for code in codes))


def test_a_sequence_follows_the_log_line_by_line() -> None:
    back = Invoice("3", "ann", 5, (Line("b", -THOUSAND, 1.0),))
    log = [invoice("1", "ann", 1, "b", "a", "b"), invoice("2", "bob", 2, "z"), back, invoice("4", None, 6, "n")]
    log += [invoice("5", "ann", 7, "a"), invoice("6", "ann", 9, "c")]
    assert item_sequences(log, 9) == {
        "ann": [Purchase("b", 1), Purchase("a", 1), Purchase("a", 7)],
        "bob": [Purchase("z", 2)],
    }


def test_the_most_bought_come_first_and_ties_by_stock_code() -> None:
    bought = [[Purchase(code, 1) for code in "bacab"], [Purchase("b", 2)]]
    assert most_purchased(bought, 2) == {"b": 3, "a": 2}
    assert list(most_purchased([[Purchase("y", 1), Purchase("x", 1)]], 9)) == ["x", "y"]


def test_windows_hold_every_target_once() -> None:
    index_of = {"a": 0, "b": 1, "c": 2}
    bought = [[Purchase(code, date) for date, code in enumerate("abxcab")], [Purchase("a", 0)]]
    cut = windows(bought, index_of, 3, end=99)
    assert cut.input_items.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert cut.target.tolist() == [[1, 2, 0], [1, NO_TARGET, NO_TARGET]]
    assert windows(bought, index_of, 3, start=4, end=5).target.tolist() == [[NO_TARGET, NO_TARGET, 0]]
    assert windows([], index_of, 3, end=99).input_items.shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
def test_numpy_gives_what_keras_gives(name: str, fitted: dict[str, FittedItemLstm]) -> None:
    scorer, network = fitted[name].scorer, fitted[name].network
    generator = np.random.default_rng(5)
    sequences = [
        generator.integers(len(scorer.codes), size=length) for length in (1, 3, SEQUENCE_LENGTH, 2, SEQUENCE_LENGTH)
    ]
    found = scorer.scores([[scorer.codes[index] for index in each] for each in sequences])
    for each, row in zip(sequences, found, strict=True):
        next_vector = network(each[None].astype(np.int32)).numpy()[0, -1]
        expected = network.output_embedding.numpy() @ next_vector + network.popularity.numpy()
        assert row == pytest.approx(expected, abs=1e-4)


def test_only_the_newest_items_are_read(fitted: dict[str, FittedItemLstm]) -> None:
    scorer = fitted["label_lstm"].scorer
    long = [scorer.codes[number % 7] for number in range(SEQUENCE_LENGTH)]
    assert np.array_equal(scorer.scores([[scorer.codes[9], *long]]), scorer.scores([long]))


@pytest.mark.parametrize("name", NAMES)
def test_training_ends_better_than_it_began(name: str, fitted: dict[str, FittedItemLstm]) -> None:
    curves = fitted[name].curves
    assert {side: len(curve) for side, curve in curves.items()} == {"training": 4, "validation": 4}
    assert curves["training"][-1] < curves["training"][0]


def test_a_large_catalogue_is_learnt_from_a_sample_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.models.item_lstm.fitting.SAMPLED", 20)  # 60 items are a large catalogue then
    first, again = (LabelLstm(epochs=3).fit(LOG, until=UNTIL, seed=3) for _ in range(2))
    assert first.curves["training"][-1] < first.curves["training"][0]
    assert np.array_equal(first.scorer.network.arrays["offered"], again.scorer.network.arrays["offered"])


def test_it_learns_what_follows_what() -> None:
    """Customers who always buy a, b, c, d in turn: after a comes b."""
    log = [
        invoice(f"{day:04d}{customer}", customer, day * DAY, "abcd"[(day + turn) % 4])
        for day in range(60)
        for turn, customer in enumerate(("ann", "bob", "eve"))
    ]
    scorer = LabelLstm(epochs=40).fit(log, until=60 * DAY, seed=1).scorer
    for before, after in (("a", "b"), ("b", "c"), ("d", "a")):
        assert scorer.codes[int(scorer.scores([[before]])[0].argmax())] == after


@pytest.mark.parametrize("name", NAMES)
def test_every_customer_gets_an_answer(name: str, fitted: dict[str, FittedItemLstm], replay: StateReplay) -> None:
    scorer = fitted[name].scorer
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
        assert len(prediction.return_curve) == len(HORIZONS)
    alone = scorer.predict([histories[7]], replay.items, now, 10)[0]
    assert [each.stock_code for each in alone.candidates] == [each.stock_code for each in predictions[7].candidates]
    warm_up(scorer)


def test_who_is_unknown_gets_what_is_in_demand(fitted: dict[str, FittedItemLstm], replay: StateReplay) -> None:
    by_name = fitted["label_lstm"].scorer.predict([CustomerHistory("nobody")], replay.items, UNTIL, 3)[0]
    demand = replay.items.demand(UNTIL)[:, 2]
    assert by_name.candidates[0].stock_code in {replay.items.codes[row] for row in np.argsort(-demand)[:3]}


def test_only_frequent_items_are_read_and_offered(fitted: dict[str, FittedItemLstm], replay: StateReplay) -> None:
    scorer = fitted["frequent_lstm"].scorer
    assert len(scorer.codes) == 20
    seldom = next(code for code in ITEMS if code not in scorer.codes)
    often = scorer.codes[0]
    offered = scorer.predict([history((1, {often: 1}))], replay.items, UNTIL, 60)[0].candidates
    assert {each.stock_code for each in offered} <= set(scorer.codes)
    assert (
        scorer.predict([history((1, {often: 1}), (2, {seldom: 1}))], replay.items, UNTIL, 60)[0].candidates == offered
    )


def test_a_new_item_is_read_and_offered_by_its_description(fitted: dict[str, FittedItemLstm]) -> None:
    replay = StateReplay(window=100)
    for each in LOG[:300]:
        replay.apply(each)
    known = "ITEM 7"
    lines = (Line("new", THOUSAND, 1.0, known), Line("mute", THOUSAND, 1.0), Line("odd", THOUSAND, 1.0, "?!"))
    replay.apply(Invoice("999999", "c1", UNTIL, lines))
    new = history((UNTIL, {"new": 1}))
    twin = history((UNTIL, {ITEMS[7]: 1}))
    by_text, by_twin = fitted["text_lstm"].scorer.predict([new, twin], replay.items, UNTIL, 100)
    offered = [each.stock_code for each in by_twin.candidates]
    assert "new" in offered
    assert not {"mute", "odd"}.intersection(offered)
    assert [each.stock_code for each in by_text.candidates] == offered
    both = history((UNTIL, {"new": 1, ITEMS[7]: 1}))
    by_label = fitted["label_lstm"].scorer.predict([both], replay.items, UNTIL, 100)[0]
    assert "new" not in [each.stock_code for each in by_label.candidates]


def test_text_vectors_of_the_hub(tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(Sentences(), str(tmp_path / "model"))
    model = TextLstm(encoder=str(tmp_path / "model"), cache=tmp_path / "cache", epochs=1)
    fitted = model.fit(LOG, until=UNTIL, seed=3)
    (tmp_path / "bundle").mkdir()
    fitted.save(tmp_path / "bundle")
    loaded = load(tmp_path / "bundle", "v1")
    assert loaded.network.arrays["read"].shape == (60, 512)
    assert np.array_equal(loaded.scores([[ITEMS[0]]]), fitted.scorer.scores([[ITEMS[0]]]))


def test_a_shop_without_descriptions() -> None:
    mute = [
        Invoice(each.invoice_no, each.customer_id, each.date, tuple(Line(*_content(line)) for line in each.lines))
        for each in LOG
    ]
    scorer = TextLstm(encoder="offline", epochs=2).fit(mute, until=UNTIL, seed=3).scorer
    replay = StateReplay(window=100)
    for each in mute[:300]:
        replay.apply(each)
    candidates = scorer.predict(list(replay.histories.values()), replay.items, UNTIL, 10)[0].candidates
    assert len(candidates) == 10


def _content(line: Line) -> tuple[str, int, float]:
    return line.stock_code, line.quantity, line.unit_price


def test_the_setting_names_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTBASKET_TEXT_ENCODER", str(tmp_path / "nowhere"))
    monkeypatch.setenv("NEXTBASKET_CACHE", str(tmp_path))
    with pytest.raises(TextEncoderUnavailable, match="nowhere"):
        make_model("text_lstm").fit(LOG, until=UNTIL, seed=3)


def test_the_same_seed_ends_in_the_same_model(fitted: dict[str, FittedItemLstm]) -> None:
    later = [*LOG[:300], *shop_log(400, seed=9)[300:]]
    again = LabelLstm(epochs=4).fit(later, until=UNTIL, seed=3)
    first = fitted["label_lstm"]
    assert again.scorer.calibration == first.scorer.calibration
    for name, array in first.scorer.network.arrays.items():
        assert np.array_equal(array, again.scorer.network.arrays[name]), name
    other = LabelLstm(epochs=1).fit(LOG, until=UNTIL, seed=4).scorer
    assert not np.array_equal(other.network.arrays["kernel"], first.scorer.network.arrays["kernel"])


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_answers_as_what_was_fitted(
    name: str, fitted: dict[str, FittedItemLstm], replay: StateReplay, tmp_path: Path
) -> None:
    fitted[name].save(tmp_path)
    assert MODEL_TABLE[name].loader == "training.serving.item_lstm.scorer:load"
    loaded = load(tmp_path, "v1")
    assert (loaded.name, loaded.version) == (name, "v1")
    histories = list(replay.histories.values())
    expected = fitted[name].scorer.predict(histories, replay.items, UNTIL, 20)
    assert_same_answers(loaded.predict(histories, replay.items, UNTIL, 20), expected)
    arrays = fitted[name].scorer.network.arrays
    again = ItemNetwork(np.zeros_like(arrays["offered"]), arrays["popularity"] * 0, tied=name != "text_lstm")
    again(np.zeros((1, 1), np.int32))
    again.load_weights(tmp_path / WEIGHTS)
    assert all(np.array_equal(array, arrays[key]) for key, array in again.arrays().items())


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("item_lstm.json", b"{}"),
        ("item_lstm.json", b'{"name":"text_lstm","calibration":{"slope":-1.0}}'),
        ("network.npz", b"not an archive"),
        ("returns.npz", b""),
        ("text.json", b'{"encoder":"TermVectors","texts":["a"]}'),
        ("vocabulary.json", b'{"stock_codes":["a"]}'),
    ],
)
def test_a_damaged_bundle_is_refused(
    file: str, content: bytes, fitted: dict[str, FittedItemLstm], tmp_path: Path
) -> None:
    fitted["text_lstm"].save(tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(BundleRefused):
        load(tmp_path, "v1")


@pytest.mark.parametrize("fault", ["missing", "shape", "type", "infinite", "gates"])
def test_arrays_that_are_no_network(fault: str, fitted: dict[str, FittedItemLstm]) -> None:
    arrays = dict(fitted["label_lstm"].scorer.network.arrays)
    if fault == "missing":
        del arrays["bias"]
    elif fault == "shape":
        arrays["output"] = arrays["output"][:, :-1]
    elif fault == "type":
        arrays["bias"] = arrays["bias"].astype(np.float64)
    elif fault == "infinite":
        arrays["bias"] = arrays["bias"] * np.inf
    else:
        for name in ("kernel", "recurrent", "bias"):
            arrays[name] = arrays[name][..., :-1]
    with pytest.raises(ValueError, match="network"):
        NumpyItemNetwork(arrays)


def test_stock_codes_that_do_not_go_with_the_network(fitted: dict[str, FittedItemLstm]) -> None:
    scorer = fitted["label_lstm"].scorer
    with pytest.raises(ValueError, match="59 stock codes"):
        ItemLstmScorer(
            "label_lstm",
            "v1",
            codes=scorer.codes[1:],
            network=scorer.network,
            calibration=None,
            return_time=scorer.return_time,
        )


@pytest.mark.parametrize("name", NAMES)
def test_there_must_be_something_to_learn_from(name: str) -> None:
    with pytest.raises(TooLittleData, match="longer history"):
        make_model(name).fit(LOG, until=LOG[0].date, seed=3)
    with pytest.raises(TooLittleData, match="longer history"):
        make_model(name).fit([], until=UNTIL, seed=3)
    with pytest.raises(TooLittleData, match=r"Only [0-9]+ purchases"):
        make_model(name).fit(LOG[:12], until=UNTIL, seed=3)
