"""Loading by the manifest: a bundle with files of another model is refused, and the champion stays in use."""

import logging
from pathlib import Path

import msgspec
import numpy as np
import pytest

from state.errors import DialectDiffers
from state.events.shop_dialect import ShopDialect
from stream.monitoring import Metrics
from stream.pipeline.model_watcher import ModelWatcher
from tests.unit.features import test_two_tower_inputs as test_hybrid_inputs
from tests.unit.registry.bundles import CLOCK, DATA_FROM, DATA_UNTIL
from tests.unit.serving import test_basket_scorer
from training.features.two_tower.customer import KNOWN
from training.registry import BundleRefused, Registry
from training.registry.bundle import EVALUATED
from training.serving.baselines.scorer import BaselineScorer
from training.serving.load import fallback_scorer, load_scorer
from training.serving.return_time.gap_shares import GapShareCurves
from training.serving.two_tower.network import NumpyTowers
from training.serving.two_tower.scorer import SETTINGS, TwoTowerScorer


def _hybrid(name: str) -> TwoTowerScorer:
    """With embeddings of two items, without features."""
    generator = np.random.default_rng(1)
    shapes = {"read": (3, 4), "offered": (3, 4), "identity_bias": (3,), "known": (len(KNOWN),)}
    arrays = {each: generator.normal(size=shape).astype(np.float32) for each, shape in shapes.items()}
    return TwoTowerScorer(
        name,
        "unpublished",
        encoding=test_hybrid_inputs.encoding(),
        towers=NumpyTowers(arrays),
        calibration=None,
        return_time=GapShareCurves.default(),
    )


def _save(files: str, folder: Path) -> None:
    """Write the files of a model."""
    if files == "basket_lstm":
        test_basket_scorer.scorer().save(folder)
    elif files == "count_demand":
        BaselineScorer(files, "unpublished").save(folder)
    else:
        _hybrid(files).save(folder)


def _published(registry: Registry, folder: Path, manifest: str, files: str) -> str:
    """Publish a bundle whose manifest names one model and whose files are of another; returns its version."""
    made = folder / f"{manifest} of {files}"
    made.mkdir()
    _save(files, made)
    return registry.publish(
        made, name=manifest, data_from=DATA_FROM, data_until=DATA_UNTIL, metrics={manifest: {}}, created=CLOCK
    )


@pytest.mark.parametrize("name", ["hybrid", "content", "basket_lstm", "count_demand"])
def test_the_scorer_is_that_of_the_manifest(name: str, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = _published(registry, tmp_path, name, name)
    scorer = load_scorer(registry.open(version))
    assert (scorer.name, scorer.version) == (name, version)


@pytest.mark.parametrize(
    ("manifest", "files", "sentence"),
    [
        ("basket_lstm", "hybrid", "basket_lstm.json"),
        ("hybrid", "basket_lstm", "hybrid.json"),
        ("label_lstm", "hybrid", "item_lstm.json"),
        ("hybrid", "count_demand", "hybrid.json"),
        ("hybrid", "content", "is of hybrid by its manifest and of content by its files. Train it anew"),
        ("collaborative", "hybrid", "is of collaborative by its manifest and of hybrid by its files"),
        ("hybrid", "towers", "is of hybrid by its manifest and of towers by its files"),
        ("gp_topfreq", "count_demand", "is of gp_topfreq by its manifest and of count_demand by its files"),
    ],
)
def test_files_of_another_model_are_refused_and_the_champion_stays_in_use(
    manifest: str, files: str, sentence: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry, metrics = Registry(str(tmp_path / "registry")), Metrics()
    champion = _published(registry, tmp_path, "content", "content")
    registry.promote(champion, at=CLOCK)
    watch = ModelWatcher(registry, load_scorer, fallback_scorer(), metrics, poll_s=1.0)
    watch.check()
    wrong = _published(registry, tmp_path, manifest, files)
    registry.promote(wrong, at=CLOCK)

    with pytest.raises(BundleRefused) as refused:
        load_scorer(registry.open(wrong))
    assert sentence in str(refused.value)
    with caplog.at_level(logging.ERROR):
        watch.check()
    assert (watch.scorer.name, watch.scorer.version) == ("content", champion)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        f"Model {wrong} is refused, content {champion} stays in use: {refused.value}"
    ]
    assert metrics.registry.get_sample_value("nextbasket_models_refused_total") == 1


def test_without_a_champion_the_fallback_stays_in_use(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    registry.promote(_published(registry, tmp_path, "basket_lstm", "hybrid"), at=CLOCK)
    watch = ModelWatcher(registry, load_scorer, fallback_scorer(), Metrics(), poll_s=1.0)
    watch.check()
    assert watch.scorer.version == "none"


@pytest.mark.parametrize("name", [7, None, ["hybrid"]])
def test_a_model_name_that_is_not_a_text_is_refused(name: object, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    _save("hybrid", made)
    held = msgspec.json.decode((made / SETTINGS).read_bytes())
    (made / SETTINGS).write_bytes(msgspec.json.encode(held | {"name": name}))
    registry = Registry(str(tmp_path / "registry"))
    version = registry.publish(
        made, name="hybrid", data_from=DATA_FROM, data_until=DATA_UNTIL, metrics={"hybrid": {}}, created=CLOCK
    )
    with pytest.raises(BundleRefused, match="cannot be read"):
        load_scorer(registry.open(version))


UCI = ShopDialect(name="uci", unsellable_codes=("9*",))


def _trained_by(dialect: ShopDialect | None, tmp_path: Path) -> Path:
    """A published bundle that was trained in some dialect; None: it does not say in which."""
    made = tmp_path / "made"
    made.mkdir()
    _save("count_demand", made)
    registry = Registry(str(tmp_path / "registry"))
    version = registry.publish(
        made,
        name="count_demand",
        data_from=DATA_FROM,
        data_until=DATA_UNTIL,
        metrics={},
        created=CLOCK,
        dialect=dialect,
    )
    assert registry.manifest(version).dialect == dialect
    return registry.open(version)


def test_a_bundle_of_the_same_dialect_loads_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_scorer(_trained_by(UCI, tmp_path), UCI).name == "count_demand"
    assert caplog.records == []


@pytest.mark.parametrize(
    ("dialect", "sentence"),
    [
        (
            ShopDialect(name="plain", unsellable_codes=("9*",)),
            " was trained in the dialect uci with the unsellable codes 9*, and this process reads invoices in the "
            "dialect plain with the unsellable codes 9*. Set NEXTBASKET_DIALECT=uci, or train and promote a model in "
            "the dialect plain with the unsellable codes 9*.",
        ),
        (
            ShopDialect(name="uci"),
            " without unsellable codes. Set NEXTBASKET_UNSELLABLE_CODES=9*, or train and promote a model in the "
            "dialect uci.",
        ),
    ],
    ids=["another dialect", "other unsellable codes"],
)
def test_a_bundle_of_another_dialect_is_refused(dialect: ShopDialect, sentence: str, tmp_path: Path) -> None:
    folder = _trained_by(UCI, tmp_path)
    with pytest.raises(DialectDiffers) as refused:
        load_scorer(folder, dialect)
    assert str(refused.value).startswith(f"Model count_demand {folder.name} was trained in the dialect uci")
    assert str(refused.value).endswith(sentence)


def test_the_model_as_it_was_evaluated_is_named_by_the_version_that_holds_it(tmp_path: Path) -> None:
    folder = _trained_by(UCI, tmp_path)
    evaluated = folder / EVALUATED
    evaluated.mkdir()
    (evaluated / "manifest.json").write_bytes(
        (folder / "manifest.json").read_bytes().replace(folder.name.encode(), EVALUATED.encode())
    )
    for file in set(folder.iterdir()) - {evaluated, folder / "manifest.json"}:
        (evaluated / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DialectDiffers, match=f"^Model count_demand {folder.name}, as it was evaluated, was trained in"):
        load_scorer(evaluated, ShopDialect(name="plain"))


def test_a_bundle_that_does_not_say_its_dialect_is_loaded_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _trained_by(None, tmp_path)
    assert b'"dialect"' not in (folder / "manifest.json").read_bytes()
    assert load_scorer(folder, UCI).name == "count_demand"
    (record,) = caplog.records
    assert "does not say in which dialect it was trained; it is used in the dialect uci" in record.getMessage()


def test_a_bundle_of_another_zone_is_loaded_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    london = ShopDialect(name="plain", timezone="Europe/London")
    load_scorer(_trained_by(london, tmp_path), ShopDialect(name="plain"))
    (record,) = caplog.records
    assert "Set NEXTBASKET_TIMEZONE=Europe/London" in record.getMessage()
