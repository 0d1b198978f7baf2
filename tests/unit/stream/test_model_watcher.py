import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from state.domain.history import CustomerHistory
from stream.monitoring import Metrics
from stream.pipeline.model_watcher import ModelWatcher, warm_up
from tests.unit.stream.harness import CountingScorer
from training.features.item_table import ItemTable
from training.registry.errors import BundleRefused, RegistryUnavailable
from training.serving.scorer import Candidate, Prediction


class RetrievalIndex:
    """A registry of scorers by version; an exception in a scorer's place is raised when it is opened."""

    def __init__(self) -> None:
        self.versions: dict[str, Any] = {}
        self.now: str | Exception | None = None
        self.opened: list[str] = []

    def current(self) -> str | None:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def open(self, version: str) -> Path:
        self.opened.append(version)
        if isinstance(self.versions[version], Exception):
            raise self.versions[version]
        return Path(version)

    def load(self, folder: Path) -> Any:
        return self.versions[folder.name]


class BadScorer(CountingScorer):
    """Gives whatever it was made with."""

    def __init__(self, *predictions: Prediction) -> None:
        super().__init__("bad")
        self.predictions = list(predictions)

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        return self.predictions


@pytest.fixture
def shelf() -> RetrievalIndex:
    return RetrievalIndex()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def watch(shelf: RetrievalIndex, metrics: Metrics) -> ModelWatcher:
    return ModelWatcher(shelf, shelf.load, CountingScorer("fallback"), metrics, poll_s=0.01)


def value(metrics: Metrics, metric: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"nextbasket_{metric}", labels)


def test_without_a_model_the_fallback_serves_and_it_is_said_once(
    watch: ModelWatcher, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        watch.start()
        watch.look()
    watch.stop()
    assert watch.scorer.version == "fallback"
    assert [record.getMessage() for record in caplog.records] == [
        "No model in the registry yet; serving counting until there is one"
    ]
    assert value(metrics, "model_info", name="counting", version="fallback") == 1
    assert value(metrics, "model_swaps_total") == 0


def test_a_new_version_is_taken_over_once(watch: ModelWatcher, shelf: RetrievalIndex, metrics: Metrics) -> None:
    shelf.versions, shelf.now = {"1": CountingScorer("1"), "2": CountingScorer("2")}, "1"
    watch.look()
    watch.look()
    assert watch.scorer.version == "1"
    shelf.now = "2"
    watch.look()
    assert watch.scorer.version == "2"
    assert shelf.opened == ["1", "2"]
    assert value(metrics, "model_swaps_total") == 2
    assert value(metrics, "model_info", name="counting", version="2") == 1
    assert value(metrics, "model_info", name="counting", version="1") is None


def test_a_damaged_bundle_is_refused_once_and_the_old_one_serves_on(
    watch: ModelWatcher, shelf: RetrievalIndex, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.versions, shelf.now = {"1": CountingScorer("1"), "2": BundleRefused("a hash differs")}, "1"
    watch.look()
    shelf.now = "2"
    watch.look()
    watch.look()
    assert watch.scorer.version == "1"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "Model 2 is refused, counting 1 serves on: a hash differs"
    ]
    assert value(metrics, "models_refused_total") == 1


def test_going_back_to_the_version_that_serves_loads_it_again(watch: ModelWatcher, shelf: RetrievalIndex) -> None:
    shelf.versions, shelf.now = {"1": CountingScorer("1"), "2": BundleRefused("no")}, "1"
    watch.look()
    shelf.now = "2"
    watch.look()
    shelf.now = "1"
    watch.look()
    assert watch.scorer.version == "1"


@pytest.mark.parametrize(
    "predictions",
    [
        [],
        [Prediction([Candidate("a", 0.1), Candidate("b", 0.2)], (0.1,) * 5)] * 3,
        [Prediction([Candidate("a", float("nan"))], (0.1,) * 5)] * 3,
        [Prediction([Candidate("a", 1.5)], (0.1,) * 5)] * 3,
        [Prediction([Candidate("a", 0.5)], (0.1,) * 4)] * 3,
    ],
    ids=["too few", "rising", "nan", "above 1", "short curve"],
)
def test_a_scorer_that_answers_nonsense_is_refused(
    watch: ModelWatcher, shelf: RetrievalIndex, metrics: Metrics, predictions: list[Prediction]
) -> None:
    shelf.versions, shelf.now = {"bad": BadScorer(*predictions)}, "bad"
    watch.look()
    assert watch.scorer.version == "fallback"
    assert value(metrics, "models_refused_total") == 1
    with pytest.raises(ValueError, match="it"):
        warm_up(BadScorer(*predictions))


def test_a_registry_that_does_not_answer_is_asked_again(
    watch: ModelWatcher, shelf: RetrievalIndex, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.versions = {"1": RegistryUnavailable("no network")}
    shelf.now = OSError("no network")
    watch.look()
    watch.look()
    assert len(caplog.records) == 1
    shelf.now = "1"
    watch.look()
    shelf.versions["1"] = CountingScorer("1")
    watch.look()
    assert watch.scorer.version == "1"
    assert value(metrics, "models_refused_total") == 0


def test_the_thread_takes_over_while_others_work(watch: ModelWatcher, shelf: RetrievalIndex) -> None:
    loaded = threading.Event()

    class Noted(CountingScorer):
        def predict(self, *args: Any, **options: Any) -> list[Prediction]:
            loaded.set()
            return super().predict(*args, **options)

    watch.start()
    shelf.versions, shelf.now = {"1": Noted("1")}, "1"
    assert loaded.wait(10)
    watch.stop()
    watch.look()
    assert watch.scorer.version == "1"
