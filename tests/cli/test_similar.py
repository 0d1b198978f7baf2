"""``nextbasket similar``: which model is asked, what it answers, and what to do where there is no answer."""

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
from tests.unit.registry.bundles import CLOCK, DATA_FROM, DATA_UNTIL
from tests.unit.serving import test_two_tower_inputs as test_hybrid_inputs
from training.registry import Registry
from training.serving.baselines.scorer import BaselineScorer
from training.serving.return_time.gap_shares import Returns
from training.serving.two_tower.customer import KNOWN
from training.serving.two_tower.network import NumpyTowers
from training.serving.two_tower.scorer import HybridScorer


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Empty; beside it a shop in which ann bought a and b, bob a and dan something that came after every training."""
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
    """Publish identities of a and b at an angle, or a baseline; returns the version."""
    folder /= str(day)
    folder.mkdir()
    if angle is None:
        BaselineScorer("count_demand", "unpublished").save(folder)
    else:
        vectors = np.asarray([[1.0, 0.0], [np.cos(angle), np.sin(angle)], [0.0, 0.0]], np.float32)
        known = np.zeros(len(KNOWN), np.float32)
        towers = {"read": vectors, "offered": vectors, "identity_bias": vectors[:, 0], "known": known}
        HybridScorer(
            "collaborative",
            "unpublished",
            encoding=test_hybrid_inputs.encoding(),
            towers=NumpyTowers(towers),
            calibration=None,
            returns=Returns.usual(),
        ).save(folder)
    return registry.publish(
        folder,
        name="count_demand" if angle is None else "collaborative",
        data_from=DATA_FROM,
        data_until=DATA_UNTIL,
        metrics={},
        created=CLOCK + timedelta(days=day),
    )


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, float]:
    """Who is alike, and how much."""
    capsys.readouterr()
    assert main(["similar", *arguments, "--json"]) == ExitCode.OK
    return {like["name"]: round(like["cosine"], 3) for like in msgspec.json.decode(capsys.readouterr().out)}


@pytest.mark.parametrize("arguments", [[], ["22613", "--customers", "12680"]])
def test_either_an_item_or_a_customer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["similar", *arguments]) == ExitCode.USAGE
    assert "either a stock code, or --customers" in capsys.readouterr().err


def test_without_a_hybrid_model_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBASKET_REGISTRY", str(tmp_path))
    assert main(["similar", "22613"]) == ExitCode.NEGATIVE
    assert "nextbasket train --model hybrid" in capsys.readouterr().err


def test_the_model_that_serves_is_asked_else_the_newest_with_towers(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _, baseline = (publish(registry, tmp_path, angle, day) for day, angle in enumerate((0.1, 1.0, None)))
    registry.promote(baseline, at=CLOCK)
    assert answer(capsys, "a") == {"b": round(np.cos(1.0), 3), "new": 0.0}
    registry.promote(first, at=CLOCK)
    assert answer(capsys, "a", "--most", "1") == {"b": round(np.cos(0.1), 3)}
    assert answer(capsys, "--customers", "ann") == {"bob": round(np.cos(0.05), 3), "dan": 0.0}
    assert main(["similar", "a", "--version", baseline]) == ExitCode.NEGATIVE
    assert "has no towers to compare by" in capsys.readouterr().err


def test_a_table_shows_items_with_their_descriptions_and_customers_without(
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


@pytest.mark.parametrize(("arguments", "asked"), [(["new"], "item 'new'"), (["--customers", "dan"], "customer 'dan'")])
def test_what_the_model_knows_nothing_of_is_like_nothing(
    arguments: list[str], asked: str, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(registry, tmp_path, 0.1, 1)
    assert main(["similar", *arguments]) == ExitCode.NEGATIVE
    assert f"was trained without {asked} and has nothing to compare by" in capsys.readouterr().err


def test_a_stranger_is_told_so(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(registry, tmp_path, 0.1, 1)
    assert main(["similar", "nothing"]) == ExitCode.NEGATIVE
    assert "No item 'nothing' is known here" in capsys.readouterr().err
