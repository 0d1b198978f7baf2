"""A network fitted in a process of its own: the same weights, and nothing is lost where that process is."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.unit.features.shop import shop_log
from training.features.retrieval import Retrieval
from training.models import make_model
from training.models.basket_lstm import BasketLstm, beside
from training.models.basket_lstm.beside import Beside
from training.models.basket_lstm.examples import Example, Sampling, Staleness, sample, views
from training.models.basket_lstm.fitting import Recipe, Schedule, make_network
from training.models.basket_lstm.network import BasketNetwork
from training.models.model import quiet

LOG = shop_log(500)
UNTIL = LOG[400].date
RECIPE = Recipe(Schedule(epochs=2), seed=5, left_out={"candidate": [0]})


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever machine this is, a second process is worth its while for a few examples too."""
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    monkeypatch.setattr(beside, "FROM_EXAMPLES", 10)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    make_model("basket_lstm")  # which sees to it that operations have one thread
    seen = views(LOG, Staleness(LOG, UNTIL), LOG[300].date, UNTIL, 100, Retrieval())
    drawn = (sample(view, bought, Sampling(), np.random.default_rng(0)) for _, view, bought, _ in seen)
    return [example for example in drawn if example is not None]


@pytest.fixture(scope="module")
def here(examples: list[Example]) -> BasketNetwork:
    return make_network(RECIPE, examples, [], quiet)[0]


def assert_same(one: BasketNetwork, other: BasketNetwork) -> None:
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[name], err_msg=name)


def test_the_other_process_ends_with_the_same_weights(examples: list[Example], here: BasketNetwork) -> None:
    heard: list[tuple[int, int, str]] = []

    with Beside(RECIPE, examples) as other:
        assert other.begun
        network = other.network(RECIPE, lambda done, total, note="": heard.append((done, total, note)))

    assert_same(network, here)
    assert [done for done, _, _ in heard] == sorted({done for done, _, _ in heard})
    assert heard[-1][:2] == (100, 100)
    assert any(note.startswith("epoch 1/2") for _, _, note in heard)


def test_the_other_process_goes_on_where_a_training_was_broken_off(
    examples: list[Example], here: BasketNetwork, tmp_path: Path
) -> None:
    recipe = RECIPE._replace(kept=str(tmp_path / "kept.npz"))
    notes: list[str] = []

    def break_off(done: int, total: int, note: str = "") -> None:
        if note.startswith("epoch 1/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_network(recipe, examples, [], break_off)
    with Beside(recipe, examples) as other:
        network = other.network(recipe, lambda done, total, note="": notes.append(note))

    assert notes[0] == "goes on after epoch 1"
    assert_same(network, here)


def test_a_model_is_the_same_with_and_without_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(name: str) -> BasketLstm:
        return BasketLstm(epochs=1, max_examples=200, keep=tmp_path / name, tensorboard=tmp_path / f"board_{name}")

    both = fit("beside").fit(LOG, until=UNTIL, seed=4)
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    alone = fit("alone").fit(LOG, until=UNTIL, seed=4)

    assert_same(both.network, alone.network)
    assert both.scorer.calibration == alone.scorer.calibration
    assert both.curves == alone.curves
    for name in ("beside", "alone"):
        assert list((tmp_path / name).iterdir()) == []  # what is done needs no keeping
        assert list((tmp_path / f"board_{name}" / "whole" / "learnt").glob("events.out.tfevents.*"))


def test_another_number_of_epochs_is_fitted_here(examples: list[Example]) -> None:
    fewer = RECIPE._replace(schedule=Schedule(epochs=1))
    with Beside(RECIPE, examples) as other:
        network = other.network(fewer, quiet)
        process = other._process
        assert process is not None
        assert process.poll() is None  # it goes on until it is known not to be wanted

    assert process.returncode < 0
    assert_same(network, make_network(fewer, examples, [], quiet)[0])


@pytest.mark.parametrize("wrong", ["it fails", "there is none"])
def test_where_the_other_process_fails_the_network_is_fitted_here(
    wrong: str,
    examples: list[Example],
    here: BasketNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    program = tmp_path / "python"
    if wrong == "it fails":
        program.write_text("#!/bin/sh\necho 7 epoch\necho out of memory >&2\nexit 3\n")
        program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with caplog.at_level(logging.WARNING), Beside(RECIPE, examples) as other:
        assert other.begun is (wrong == "it fails")
        network = other.network(RECIPE, quiet)

    said = {"it fails": "ended with 3: out of memory", "there is none": "could not be begun"}
    assert said[wrong] in caplog.text
    assert_same(network, here)


def test_what_is_broken_off_leaves_no_process_and_no_file(
    examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    other = Beside(RECIPE, examples)

    def interrupted() -> None:
        with other:
            assert list(tmp_path.iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert other._process is not None
    assert other._process.returncode < 0
    assert list(tmp_path.iterdir()) == []


def test_it_ends_where_nobody_waits_for_it_any_more(examples: list[Example]) -> None:
    """As when the process that began it was killed: its pipe has no reader then."""
    long = RECIPE._replace(schedule=Schedule(epochs=1_000))
    with Beside(long, examples) as other:
        assert other._process is not None
        assert other._process.stdout is not None
        other._process.stdout.close()
        other._process.stdout = None
        try:
            assert other._process.wait(120) > 0
        except subprocess.TimeoutExpired:
            pytest.fail("it goes on alone")


def test_none_is_begun_where_it_gains_nothing(examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    with Beside(RECIPE, examples[:9]) as other:
        assert not other.begun
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    with Beside(RECIPE, examples) as other:
        assert not other.begun
