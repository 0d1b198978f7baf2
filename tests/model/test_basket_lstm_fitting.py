"""The examples of basket_lstm, its loss, and checkpoints."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.unit.features.shop import shop_log
from training.data.walk import StateReplay
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import build_view
from training.models.basket_lstm.examples import (
    Sampling,
    batches,
    collate,
    fingerprint,
    load_examples,
    sample,
    save_examples,
)
from training.models.basket_lstm.fitting import HIT_LOSS_WEIGHTS, losses
from training.models.basket_lstm.network import BasketNetwork
from training.models.candidate_views.labelled_views import labelled_views, target_dates
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.models.checkpoint import Checkpoint, TrainingState, checkpoint_name
from training.models.global_statistics import fit_global_statistics
from training.models.keras_weights import WEIGHTS, save_weights
from training.serving.basket_lstm.scorer import (
    input_sizes,
)

LOG = shop_log(500)
UNTIL = LOG[400].date


@pytest.fixture(scope="module")
def replay() -> StateReplay:
    replay = StateReplay(window=100)
    for invoice in LOG[:400]:
        replay.apply(invoice)
    return replay


def test_the_loss_of_each_head_by_hand() -> None:
    """Two customers; of the first one's three candidates two were bought, and the third stands for four."""
    heads = range(len(HIT_LOSS_WEIGHTS))
    logits = np.asarray([[1.0, 0.5], [0.0, 0.25], [-1.0, 2.0], [0.5, 0.0], [0.0, 1.0]], np.float32)
    logits = np.stack([logits[:, head % 2] * (1 + head // 2) for head in heads], axis=1)
    bought = np.asarray([1.0, 1.0, 0.0, 0.0, 1.0], np.float32)
    correction = np.log(np.asarray([1.0, 1.0, 4.0, 1.0, 1.0], np.float32))
    inputs = {"customer_index": np.asarray([0, 0, 0, 1, 1], np.int32), "customer_inputs": np.zeros((2, 1), np.float32)}
    found = losses(logits, bought, correction, inputs).numpy()

    def by_hand(rows: slice, head: int) -> float:
        share = np.exp(logits[rows, head]) / (np.exp(logits[rows, head] + correction[rows])).sum()
        mine = share[bought[rows] > 0]
        return float(-np.log(mine).sum() / np.sqrt(len(mine)) - HIT_LOSS_WEIGHTS[head] * np.log(mine.sum()))

    expected = [[by_hand(rows, head) for head in heads] for rows in (slice(0, 3), slice(3, 5))]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_targets_are_invoices_with_an_earlier_one() -> None:
    dates = target_dates(LOG, UNTIL)

    assert dates == sorted(dates)
    assert 300 < len(dates) < 370  # 30 customers have a first one, and one in nine is a return


def test_the_corrections_of_a_sample_add_up_to_all_candidates(replay: StateReplay) -> None:
    """Of a span's moments: all that was bought, and corrections that add up to the candidates left out."""
    seen = labelled_views(LOG, StatisticsHistory(LOG, UNTIL), LOG[350].date, UNTIL, 100, Retrieval())
    for _, view, bought, _ in seen:
        example = sample(view, bought, Sampling(held=5, new=3), np.random.default_rng(0))
        if example is None:
            assert not bought.any()
            continue
        assert example.bought.sum() == bought.sum()
        assert (example.correction[example.bought] == 0.0).all()
        assert np.exp(example.correction).sum() == pytest.approx(len(bought), rel=1e-5)
        assert len(example.step_inputs[0]) == len(example.basket_inputs) == view.length[0]


def test_batches_hold_every_example_once_and_one_length_each() -> None:
    seen = labelled_views(LOG, StatisticsHistory(LOG, UNTIL), LOG[250].date, UNTIL, 100, Retrieval())
    drawn = (sample(view, bought, Sampling(), np.random.default_rng(0)) for _, view, bought, _ in seen)
    examples = [example for example in drawn if example is not None]
    cut = batches(examples, 16, np.random.default_rng(1))

    assert sorted(position for batch in cut for position in batch) == list(range(len(examples)))
    for positions in cut:
        batch = collate([examples[position] for position in positions])
        assert batch.customer_index.max() == len(positions) - 1
        assert len(batch.step_inputs) == len(batch.bought) == len(batch.candidate_inputs)


def test_examples_are_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    seen = labelled_views(LOG, StatisticsHistory(LOG, UNTIL), LOG[350].date, UNTIL, 100, Retrieval())
    drawn = (sample(view, bought, Sampling(), np.random.default_rng(0)) for _, view, bought, _ in seen)
    examples = [example for example in drawn if example is not None]
    save_examples(examples, tmp_path)
    again = load_examples(tmp_path)
    shutil.rmtree(tmp_path)

    assert len({len(example.basket_inputs) for example in examples}) > 1
    assert len(again) == len(examples)
    for one, other in zip(examples, again, strict=True):
        for name, array in one._asdict().items():
            assert getattr(other, name).dtype == array.dtype, name
            np.testing.assert_array_equal(getattr(other, name), array, err_msg=name)


def test_other_examples_have_another_fingerprint(replay: StateReplay) -> None:
    history = max(replay.histories.values(), key=lambda each: len(each.invoices))
    view = build_view([history], replay.items, UNTIL, fit_global_statistics(LOG, UNTIL))
    bought = np.arange(len(view.row)) < 3
    one, again = (sample(view, bought, Sampling(), np.random.default_rng(1)) for _ in range(2))
    assert one is not None
    assert again is not None
    assert fingerprint([one]) == fingerprint([again])

    again.candidate_inputs[0, 0] += 1.0
    assert fingerprint([one]) != fingerprint([again])


def test_a_damaged_checkpoint_is_ignored(tmp_path: Path) -> None:
    network = BasketNetwork(input_sizes())
    checkpoint = Checkpoint(tmp_path / checkpoint_name(["a training"]))
    generator = np.random.default_rng(1)
    checkpoint.save(TrainingState(1, 5, 0.5, network.get_weights(), {"training": [1.0]}), network.variables, generator)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:100])

    assert checkpoint.load(network.variables, generator) is None


def test_a_training_goes_on_where_no_checkpoint_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = BasketNetwork(input_sizes())
    (tmp_path / "cache").write_text("a file where a folder should be")
    checkpoint = Checkpoint(tmp_path / "cache" / "checkpoint.npz")

    checkpoint.save(TrainingState(1, 5, 0.5, [], {"training": [1.0]}), network.variables, np.random.default_rng(1))
    checkpoint.delete()
    assert "no checkpoint can be written" in caplog.text


def test_a_bundle_keeps_the_name_of_the_layer_over_customer_inputs(tmp_path: Path) -> None:
    """Keras names groups of a weights file by attributes: under another name, older files could not be loaded."""
    save_weights(BasketNetwork(input_sizes()), tmp_path)
    with h5py.File(tmp_path / WEIGHTS) as file:
        assert "heads/head/hidden_person/vars/0" in file
