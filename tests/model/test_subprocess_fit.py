"""A network fitted in another process: the same weights, also where that process fails."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.unit.features.shop import shop_log
from training.features.basket_lstm.retrieval import Retrieval
from training.models import make_model
from training.models.basket_lstm import BasketLstm, FittedBasketLstm, subprocess_fit
from training.models.basket_lstm.ablation import BuildAblated
from training.models.basket_lstm.examples import Example, Sampling, sample
from training.models.basket_lstm.fitting import SCHEDULE, FitConfig, make_network
from training.models.basket_lstm.network import BasketNetwork
from training.models.basket_lstm.subprocess_fit import SubprocessFit
from training.models.candidate_views.labelled_views import labelled_views
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.progress import RecordedProgress, shown_by

LOG = shop_log(500)
UNTIL = LOG[400].date
CONFIG = FitConfig(SCHEDULE._replace(epochs=2), seed=5, build=BuildAblated({"candidate": [0]}))


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever machine this is, a second process is worth its while for a few examples too."""
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    monkeypatch.setattr(subprocess_fit, "MIN_EXAMPLES", 10)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    make_model("basket_lstm")  # which sees to it that operations have one thread
    seen = labelled_views(LOG, StatisticsHistory(LOG, UNTIL), LOG[300].date, UNTIL, 100, Retrieval())
    drawn = (sample(view, bought, Sampling(), np.random.default_rng(0)) for _, view, bought, _ in seen)
    return [example for example in drawn if example is not None]


@pytest.fixture(scope="module")
def here(examples: list[Example]) -> BasketNetwork:
    return make_network(CONFIG, examples, [])[0]


def assert_same(one: BasketNetwork, other: BasketNetwork) -> None:
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[name], err_msg=name)


def test_the_other_process_ends_with_the_same_weights(examples: list[Example], here: BasketNetwork) -> None:
    with SubprocessFit(CONFIG, examples) as other, shown_by(RecordedProgress()) as shown:
        assert other.is_running
        network = other.network(CONFIG)

    assert_same(network, here)
    assert [done for done, _, _ in shown.updates] == sorted(done for done, _, _ in shown.updates)
    assert shown.updates[-1][:2] == (100, 100)
    assert shown.updates[-1][2].startswith("epoch 2/2, training ")
    assert any(note.startswith("epoch 1/2") for _, _, note in shown.updates)


def test_the_other_process_resumes_an_interrupted_training(
    examples: list[Example], here: BasketNetwork, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = CONFIG._replace(checkpoint=tmp_path / "checkpoint.npz")

    class InEpoch2(RecordedProgress):
        def update(self, done: int, total: int, note: str = "") -> None:
            if note.startswith("epoch 1/"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), shown_by(InEpoch2()):
        make_network(config, examples, [])
    with SubprocessFit(config, examples) as other, shown_by(RecordedProgress()) as shown:
        network = other.network(config)

    assert "fitted in this process" not in caplog.text
    assert shown.updates[0][2] == "resumed after epoch 1"
    assert_same(network, here)


@pytest.mark.parametrize("best", [2, 1])
def test_a_model_is_the_same_with_and_without_another_process(
    best: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the first network finds that fewer epochs are best than the other process makes."""
    running: list[bool] = []

    def make(
        config: FitConfig, training_set: Sequence[Example], validation_set: Sequence[Example]
    ) -> tuple[BasketNetwork, dict[str, list[float]]]:
        network, curves = make_network(config, training_set, validation_set)
        return network, curves | {"validation": [float(epoch != best) for epoch in (1, 2)]}

    class Watched(SubprocessFit):
        def network(self, config: FitConfig) -> BasketNetwork:
            running.append(self.is_running)
            return super().network(config)

    def fit(name: str) -> FittedBasketLstm:
        model = BasketLstm(epochs=2, max_examples=200, keep=tmp_path / name, tensorboard=tmp_path / f"board_{name}")
        return model.fit(LOG, until=UNTIL, seed=4)

    monkeypatch.setattr("training.models.basket_lstm.model.make_network", make)
    monkeypatch.setattr("training.models.basket_lstm.model.SubprocessFit", Watched)
    both = fit("parallel")
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    alone = fit("alone")

    assert running == [True, False]
    assert "fitted in this process" not in caplog.text
    assert_same(both.network, alone.network)
    assert both.scorer.calibration == alone.scorer.calibration
    assert both.curves == alone.curves
    whole = "whole" if best == 2 else "whole_1"
    for name in ("parallel", "alone"):
        assert list((tmp_path / name).iterdir()) == []  # a finished training needs no checkpoint
        assert len(list((tmp_path / f"board_{name}" / whole / "training").glob("events.out.tfevents.*"))) == 1


def test_another_number_of_epochs_is_fitted_in_this_process(examples: list[Example]) -> None:
    long, fewer = (CONFIG._replace(schedule=SCHEDULE._replace(epochs=epochs)) for epochs in (1_000, 1))
    with SubprocessFit(long, examples) as other:
        process = other._process
        assert process is not None
        network = other.network(fewer)
        assert process.returncode < 0
        assert not other.is_running

    assert_same(network, make_network(fewer, examples, [])[0])


@pytest.mark.parametrize("wrong", ["it fails", "it is killed", "there is none"])
def test_where_the_other_process_fails_the_network_is_fitted_in_this_one(
    wrong: str,
    examples: list[Example],
    here: BasketNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    program = tmp_path / "python"
    end = {"it fails": "echo out of memory >&2; exit 3", "it is killed": "kill -9 $$"}.get(wrong)
    if end is not None:
        program.write_text(f"#!/bin/sh\necho a library says hello\necho 7 epoch\n{end}\n")
        program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with caplog.at_level(logging.WARNING), SubprocessFit(CONFIG, examples) as other:
        assert other.is_running is (end is not None)
        network = other.network(CONFIG)

    reason = {
        "it fails": "ended with 3: out of memory",
        "it is killed": "was ended by a signal: Killed",
        "there is none": "could not be started",
    }
    assert reason[wrong] in caplog.text
    assert_same(network, here)


def test_an_interrupted_fit_leaves_no_process_and_no_file(
    examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    begun: list[subprocess.Popen[str] | None] = []

    def interrupted() -> None:
        with SubprocessFit(CONFIG, examples) as other:
            begun.append(other._process)
            assert list(tmp_path.iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert begun[0] is not None
    assert begun[0].returncode < 0
    assert list(tmp_path.iterdir()) == []


def test_the_other_process_ends_when_its_parent_was_killed(examples: list[Example]) -> None:
    """As when the process that began it was killed: its pipe has no reader then."""
    long = CONFIG._replace(schedule=SCHEDULE._replace(epochs=1_000))
    with SubprocessFit(long, examples) as other:
        assert other._process is not None
        assert other._process.stdout is not None
        other._process.stdout.close()
        other._process.stdout = None
        try:
            assert other._process.wait(120) > 0
        except subprocess.TimeoutExpired:
            pytest.fail("it goes on alone")
        assert not other._folder.exists()  # it takes away what nobody else will


def test_no_process_is_started_where_it_saves_no_time(examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    with SubprocessFit(CONFIG, examples[:9]) as other:
        assert not other.is_running
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    with SubprocessFit(CONFIG, examples) as other:
        assert not other.is_running
