"""``nextbasket similar``: which model is used, what is printed, and the messages where there is no answer."""

from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from state.events.invoice import THOUSAND, Invoice, Line
from state.settings import Settings
from state.store.memory import MemoryStore
from stream.cli.exit_codes import ExitCode
from stream.cli.main import main
from tests.unit.features import test_two_tower_inputs as test_hybrid_inputs
from tests.unit.registry.bundles import CLOCK, DATA_FROM, DATA_UNTIL
from training.features.two_tower.customer import KNOWN
from training.registry import Registry
from training.serving.baselines.scorer import BaselineScorer
from training.serving.return_time.gap_shares import GapShareCurves
from training.serving.two_tower.network import NumpyTowers
from training.serving.two_tower.scorer import TwoTowerScorer


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry. In the store ann bought a and b, bob a, and dan an item that came after every training."""
    store = MemoryStore(Settings())
    bought = {"ann": ("a", "b"), "bob": ("a",), "dan": ("new",)}
    store.apply(
        [
            Invoice(name, name, 1_300_000_000, tuple(Line(code, THOUSAND, 1.0, f"ITEM {code}") for code in codes))
            for name, codes in bought.items()
        ],
        clock_ms=1,
    )
    monkeypatch.setenv("NEXTBASKET_REGISTRY", str(tmp_path / "registry"))
    monkeypatch.setattr("state.store.redis.store.RedisStore", lambda settings: store)
    return Registry(str(tmp_path / "registry"))


def publish(registry: Registry, folder: Path, angle: float | None, day: int) -> str:
    """Publish a model whose vectors of a and b have an angle, or a baseline; returns the version."""
    folder /= str(day)
    folder.mkdir()
    if angle is None:
        BaselineScorer("count_demand", "unpublished").save(folder)
    else:
        vectors = np.asarray([[1.0, 0.0], [np.cos(angle), np.sin(angle)], [0.0, 0.0]], np.float32)
        known = np.zeros(len(KNOWN), np.float32)
        towers = {"read": vectors, "offered": vectors, "identity_bias": vectors[:, 0], "known": known}
        TwoTowerScorer(
            "collaborative",
            "unpublished",
            encoding=test_hybrid_inputs.encoding(),
            towers=NumpyTowers(towers),
            calibration=None,
            return_time=GapShareCurves.default(),
        ).save(folder)
    return registry.publish(
        folder,
        name="count_demand" if angle is None else "collaborative",
        data_from=DATA_FROM,
        data_until=DATA_UNTIL,
        metrics={},
        created=CLOCK + timedelta(days=day),
    )


def cosines(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, float]:
    """Cosine by stock code or customer."""
    capsys.readouterr()
    assert main(["similar", *arguments, "--json"]) == ExitCode.OK
    return {each["name"]: round(each["cosine"], 3) for each in msgspec.json.decode(capsys.readouterr().out)}


@pytest.mark.parametrize("arguments", [[], ["22613", "--customers", "12680"]])
def test_either_an_item_or_a_customer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["similar", *arguments]) == ExitCode.USAGE
    assert "either a stock code, or --customers" in capsys.readouterr().err


def test_without_a_two_tower_model_the_message_has_the_command_that_trains_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBASKET_REGISTRY", str(tmp_path))
    assert main(["similar", "22613"]) == ExitCode.NEGATIVE
    assert "nextbasket train --model hybrid" in capsys.readouterr().err


def test_the_current_model_is_used_else_the_newest_two_tower_model(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _, baseline = (publish(registry, tmp_path, angle, day) for day, angle in enumerate((0.1, 1.0, None)))
    registry.promote(baseline, at=CLOCK)
    assert cosines(capsys, "a") == {"b": round(np.cos(1.0), 3), "new": 0.0}
    registry.promote(first, at=CLOCK)
    assert cosines(capsys, "a", "--most", "1") == {"b": round(np.cos(0.1), 3)}
    assert cosines(capsys, "--customers", "ann") == {"bob": round(np.cos(0.05), 3), "dan": 0.0}
    assert main(["similar", "a", "--version", baseline]) == ExitCode.NEGATIVE
    assert "has no vectors to compare by" in capsys.readouterr().err


def test_a_table_has_descriptions_of_items_and_none_of_customers(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(registry, tmp_path, 0.0, 1)
    assert main(["similar", "a", "--most", "1"]) == ExitCode.OK
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["stock", "code", "cosine", "description"],
        ["b", "1.000", "ITEM", "b"],
    ]
    assert main(["similar", "--customers", "ann", "--most", "1"]) == ExitCode.OK
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["customer", "cosine"], ["bob", "1.000"]]


@pytest.mark.parametrize(
    ("arguments", "subject"), [(["new"], "item 'new'"), (["--customers", "dan"], "customer 'dan'")]
)
def test_what_came_after_the_training_has_no_vector(
    arguments: list[str], subject: str, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(registry, tmp_path, 0.1, 1)
    assert main(["similar", *arguments]) == ExitCode.NEGATIVE
    assert f"was trained without {subject} and has no vector for it" in capsys.readouterr().err


def test_an_unknown_item_is_an_answer_of_no(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(registry, tmp_path, 0.1, 1)
    assert main(["similar", "nothing"]) == ExitCode.NEGATIVE
    assert "No item 'nothing' is known here" in capsys.readouterr().err
