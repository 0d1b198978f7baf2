import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from state.domain.history import CustomerHistory
from state.errors import DialectDiffers
from stream.monitoring import Metrics
from stream.pipeline.model_watcher import ModelWatcher, warm_up
from tests.unit.stream.harness import CountingScorer
from training.features.item_table import ItemTable
from training.registry.errors import BundleRefused, RegistryUnavailable
from training.serving.scorer import Candidate, Prediction


class StubRegistry:
    """A registry with a scorer for each version, or with the error that opening the version raises."""

    def __init__(self) -> None:
        self.versions: dict[str, Any] = {}
        self.promoted: str | Exception | None = None
        self.opened: list[str] = []

    def current(self) -> str | None:
        if isinstance(self.promoted, Exception):
            raise self.promoted
        return self.promoted

    def open(self, version: str) -> Path:
        self.opened.append(version)
        if isinstance(self.versions[version], Exception):
            raise self.versions[version]
        return Path(version)

    def load(self, folder: Path) -> Any:
        return self.versions[folder.name]


class BadScorer(CountingScorer):
    """Returns the given predictions, whatever the histories."""

    def __init__(self, *predictions: Prediction) -> None:
        super().__init__("bad")
        self.predictions = list(predictions)

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        return self.predictions


@pytest.fixture
def registry() -> StubRegistry:
    return StubRegistry()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def watcher(registry: StubRegistry, metrics: Metrics) -> ModelWatcher:
    return ModelWatcher(registry, registry.load, CountingScorer("fallback"), metrics, poll_s=0.01)


def value(metrics: Metrics, metric: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"nextbasket_{metric}", labels)


def test_without_a_promoted_model_the_fallback_serves(
    watcher: ModelWatcher, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        watcher.start()
        watcher.check()
    watcher.stop()
    assert watcher.scorer.version == "fallback"
    assert [record.getMessage() for record in caplog.records] == [
        "There is no promoted model; counting serves until there is one"
    ]
    assert value(metrics, "model_info", name="counting", version="fallback") == 1
    assert value(metrics, "model_swaps_total") == 0


def test_a_new_version_is_loaded_once(watcher: ModelWatcher, registry: StubRegistry, metrics: Metrics) -> None:
    registry.versions, registry.promoted = {"1": CountingScorer("1"), "2": CountingScorer("2")}, "1"
    watcher.check()
    watcher.check()
    assert watcher.scorer.version == "1"
    registry.promoted = "2"
    watcher.check()
    assert watcher.scorer.version == "2"
    assert registry.opened == ["1", "2"]
    assert value(metrics, "model_swaps_total") == 2
    assert value(metrics, "model_info", name="counting", version="2") == 1
    assert value(metrics, "model_info", name="counting", version="1") is None


def test_a_damaged_bundle_is_refused_once_and_the_previous_model_stays(
    watcher: ModelWatcher, registry: StubRegistry, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    registry.versions, registry.promoted = {"1": CountingScorer("1"), "2": BundleRefused("a hash differs")}, "1"
    watcher.check()
    registry.promoted = "2"
    watcher.check()
    watcher.check()
    assert watcher.scorer.version == "1"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "Model 2 is refused, counting 1 stays in use: a hash differs"
    ]
    assert value(metrics, "models_refused_total") == 1


def test_a_model_of_another_dialect_is_refused_at_the_start(watcher: ModelWatcher, registry: StubRegistry) -> None:
    registry.versions, registry.promoted = {"1": DialectDiffers("in the dialect uci")}, "1"
    with pytest.raises(DialectDiffers, match="in the dialect uci"):
        watcher.start()


def test_a_model_of_another_dialect_that_comes_later_is_refused_once_and_counted(
    watcher: ModelWatcher, registry: StubRegistry, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    registry.versions, registry.promoted = {"1": CountingScorer("1"), "2": DialectDiffers("in the dialect uci")}, "1"
    watcher.start()
    watcher.stop()
    registry.promoted = "2"
    watcher.check()
    watcher.check()
    assert watcher.scorer.version == "1"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "Model 2 is refused, counting 1 stays in use: in the dialect uci"
    ]
    assert value(metrics, "models_refused_total") == 1


def test_a_return_to_the_version_in_use_loads_it_again(watcher: ModelWatcher, registry: StubRegistry) -> None:
    registry.versions, registry.promoted = {"1": CountingScorer("1"), "2": BundleRefused("no")}, "1"
    watcher.check()
    registry.promoted = "2"
    watcher.check()
    registry.promoted = "1"
    watcher.check()
    assert watcher.scorer.version == "1"


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
def test_a_scorer_with_invalid_predictions_is_refused(
    watcher: ModelWatcher, registry: StubRegistry, metrics: Metrics, predictions: list[Prediction]
) -> None:
    registry.versions, registry.promoted = {"bad": BadScorer(*predictions)}, "bad"
    watcher.check()
    assert watcher.scorer.version == "fallback"
    assert value(metrics, "models_refused_total") == 1
    with pytest.raises(ValueError, match="it"):
        warm_up(BadScorer(*predictions))


def test_an_unavailable_registry_is_tried_again(
    watcher: ModelWatcher, registry: StubRegistry, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    registry.versions = {"1": RegistryUnavailable("no network")}
    registry.promoted = OSError("no network")
    watcher.check()
    watcher.check()
    assert len(caplog.records) == 1
    registry.promoted = "1"
    watcher.check()
    registry.versions["1"] = CountingScorer("1")
    watcher.check()
    assert watcher.scorer.version == "1"
    assert value(metrics, "models_refused_total") == 0


def test_the_thread_loads_a_new_version(watcher: ModelWatcher, registry: StubRegistry) -> None:
    loaded = threading.Event()

    class SignallingScorer(CountingScorer):
        def predict(self, *args: Any, **options: Any) -> list[Prediction]:
            loaded.set()
            return super().predict(*args, **options)

    watcher.start()
    registry.versions, registry.promoted = {"1": SignallingScorer("1")}, "1"
    assert loaded.wait(10)
    watcher.stop()
    watcher.check()
    assert watcher.scorer.version == "1"
