"""The loop that trains the networks: the best epoch, resuming, learning rates, curves and progress."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from training.models.checkpoint import Checkpoint
from training.models.training_loop import TRAINING, VALIDATION, one_cycle, train_epochs, warmup_cosine
from training.progress import RecordedProgress, shown_by


class Counter:
    """A network of one weight, to which each step adds a number that the generator draws."""

    def __init__(self, validation: Sequence[float] = ()) -> None:
        self.network = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
        self.network.build((None, 1))
        self.optimizer = keras.optimizers.SGD(1.0)
        self.optimizer.build(self.network.trainable_variables)
        self.after_epoch: list[float] = []
        self.rates: list[float] = []
        self.validation = validation

    @property
    def weight(self) -> float:
        return float(self.network.get_weights()[0][0, 0])

    def train(self, epochs: int, **options: Any) -> dict[str, list[float]]:
        return train_epochs(
            self.network,
            self.optimizer,
            epochs,
            2 * epochs,
            batches=lambda generator: generator.random(2).tolist(),
            step=self._step,
            losses=self._losses,
            generator=np.random.default_rng(5),
            **options,
        )

    def _step(self, batch: float) -> float:
        self.rates.append(float(self.optimizer.learning_rate))
        self.network.trainable_variables[0].assign_add([[batch]])
        return batch

    def _losses(self, of_steps: Sequence[float]) -> Mapping[str, float]:
        self.after_epoch.append(self.weight)
        losses = {TRAINING: sum(of_steps)}
        if self.validation:
            losses[VALIDATION] = self.validation[round(len(self.after_epoch)) - 1]
        return losses


def test_the_weights_are_those_of_the_best_epoch_on_the_validation_set() -> None:
    counter = Counter([3.0, 1.0, 2.0])
    curves = counter.train(3)
    assert counter.weight == counter.after_epoch[1] != counter.after_epoch[2]
    assert curves[VALIDATION] == [3.0, 1.0, 2.0]
    assert np.cumsum(curves[TRAINING]) == pytest.approx(counter.after_epoch)


def test_without_a_validation_set_the_weights_are_those_of_the_last_epoch() -> None:
    counter = Counter()
    assert list(counter.train(3)) == [TRAINING]
    assert counter.weight == counter.after_epoch[2] != counter.after_epoch[1]


@pytest.mark.parametrize("validation", [(1.0, 2.0, 3.0), (3.0, 2.0, 1.0), ()])
def test_an_interrupted_training_resumes_to_the_same_end(validation: Sequence[float], tmp_path: Path) -> None:
    """Also where the best epoch came before the interruption, in the middle of the third one."""
    whole = Counter(validation)
    expected = whole.train(3)

    class InEpoch3(RecordedProgress):
        def update(self, done: int, total: int, note: str = "") -> None:
            if done == 5:
                raise KeyboardInterrupt

    path = tmp_path / "checkpoint.npz"
    with pytest.raises(KeyboardInterrupt), shown_by(InEpoch3()):
        Counter(validation).train(3, checkpoint=Checkpoint(path))
    resumed = Counter(validation[2:])
    with shown_by(RecordedProgress()) as shown:
        curves = resumed.train(3, checkpoint=Checkpoint(path))

    assert curves == expected
    assert resumed.weight == whole.weight
    assert shown.updates == [(5, 6, "resumed after epoch 2"), (6, 6, "resumed after epoch 2")]


def test_progress_has_the_losses_of_the_epoch_before() -> None:
    with shown_by(RecordedProgress()) as shown:
        curves = Counter([3.0, 1.0]).train(2)
    note = f"epoch 1/2, training {curves[TRAINING][0]:.3f}, validation 3.000"
    assert shown.updates == [(1, 4, ""), (2, 4, ""), (3, 4, note), (4, 4, note)]


def test_the_learning_rate_of_each_step_is_that_of_its_number() -> None:
    counter = Counter()
    counter.train(2, learning_rate=lambda step: 0.5**step)
    assert counter.rates == [1.0, 0.5, 0.25, 0.125]


def test_curves_are_written_for_tensorboard(tmp_path: Path) -> None:
    Counter([3.0, 1.0]).train(2, tensorboard=tmp_path)
    for name in (TRAINING, VALIDATION):
        assert len(list((tmp_path / name).glob("events.out.tfevents.*"))) == 1


def test_one_cycle_rises_to_the_peak_and_falls() -> None:
    rates = [one_cycle(step, 100, 1.0) for step in range(101)]
    assert (rates[0], rates[30], rates[-1]) == pytest.approx((1 / 25, 1.0, 1e-4))
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)


def test_warmup_cosine_rises_to_the_peak_and_falls() -> None:
    schedule = warmup_cosine(100, 1.0)
    rates = [float(schedule(step)) for step in range(101)]
    assert (rates[0], rates[10], rates[-1]) == pytest.approx((1 / 25, 1.0, 1e-3), abs=1e-6)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
