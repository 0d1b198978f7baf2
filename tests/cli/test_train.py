"""``nextbasket train`` and ``nextbasket models`` on a small table."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.main import main
from stream.tools.model_versions import last_promotions
from tests.unit.registry.bundles import CLOCK, DATA_FROM, DATA_UNTIL
from tests.unit.stream.clock import FakeClock
from training.registry import Promotion, Registry
from training.serving.baselines.scorer import BaselineScorer


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "empty.csv"
    path.write_text("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n")
    return path


def test_train_list_promote_and_roll_back(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--data", str(table), "--model", "count_demand"]
    assert main(["models", "list"]) == ExitCode.NEGATIVE
    assert "is empty" in capsys.readouterr().err
    assert main(["models", "rollback"]) == ExitCode.REGISTRY
    capsys.readouterr()

    assert main([*arguments, "--until", "2011-06-01"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "How this table was read: dialect uci, zone UTC." in printed
    assert "Evaluated on" in printed
    assert "At the visit:" in printed
    (ledger_file,) = (tmp_path / "registry").rglob("ledger.json")
    ledger = json.loads(ledger_file.read_bytes())
    assert [step["name"] for step in ledger["steps"]][:2] == ["parsed", "no_code"]
    assert f"purchases: {ledger['purchase_lines']:,} lines" in printed
    assert main([*arguments]) in (ExitCode.OK, ExitCode.NEGATIVE)
    capsys.readouterr()

    assert main(["models", "list", "--json"]) == ExitCode.OK
    versions = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert versions[0]["data"]["until"][:10] == "2011-06-01"
    first, last = versions[0]["version"], versions[-1]["version"]
    assert sum(version["current"] for version in versions) == 1
    assert all(bool(version["promoted"]) or not version["current"] for version in versions)

    assert main(["models", "promote", last]) == ExitCode.OK
    assert main(["models", "promote", first]) == ExitCode.OK
    assert main(["models", "rollback"]) == ExitCode.OK
    assert f"{last} serves; before it was {first}" in capsys.readouterr().out
    assert main(["models", "list"]) == ExitCode.OK
    (row,) = [line for line in capsys.readouterr().out.splitlines() if last in line]
    assert "champion" in row
    assert main(["models", "list", "--json"]) == ExitCode.OK
    by_version = {version["version"]: version for version in map(json.loads, capsys.readouterr().out.splitlines())}
    for shown in (by_version[last]["created"], by_version[last]["promoted"]):
        assert shown[:16].replace("T", " ") in row
    assert main(["models", "promote", "2001-01-01"]) == ExitCode.REGISTRY
    assert "has no version '2001-01-01'" in capsys.readouterr().err


def test_a_rollback_is_the_last_promotion_of_its_version() -> None:
    history = [
        Promotion(1, "a", "promote", "2026-01-01T10:00:00Z"),
        Promotion(2, "b", "promote", "2026-01-02T10:00:00Z", 1),
        Promotion(3, "a", "rollback", "2026-01-03T10:00:00Z"),
    ]
    assert last_promotions(history) == {"a": "2026-01-03T10:00:00Z", "b": "2026-01-02T10:00:00Z"}


def test_the_best_baseline_in_the_list_is_no_champion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    BaselineScorer("count_demand", "unpublished").save(folder)
    ndcg = {"hybrid": 0.3, "champion": 0.4, "ease": 0.2, "count_demand": 0.1}
    Registry(str(tmp_path / "registry")).publish(
        folder,
        name="hybrid",
        data_from=DATA_FROM,
        data_until=DATA_UNTIL,
        metrics={model: {"ndcg@10": value} for model, value in ndcg.items()},
        created=CLOCK,
    )
    assert main(["models", "list"]) == ExitCode.OK
    assert re.search("│ 0.3000 +│ 0.2000 ease +│", capsys.readouterr().out)


def test_options_of_a_model_reach_it(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The published vectors have three numbers, and there are no features."""
    options = "HYBRID:width=3:epochs=1:mode=collaborative"
    assert main(["train", "--data", str(table), "--model", options, "--no-refit"]) in (ExitCode.OK, ExitCode.NEGATIVE)
    assert "Published" in capsys.readouterr().out
    (network,) = (tmp_path / "registry").rglob("network.npz")
    with np.load(network) as arrays:
        assert arrays["offered"].shape[1] == 3
        assert "feature_bias" not in arrays.files


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--model", "crystal_ball"], ExitCode.USAGE, "There is no model 'crystal_ball'"),
        (["--model", "count_demand", "--epochs", "3"], ExitCode.USAGE, "has no epochs"),
        (["--model", "count_demand", "--tensorboard", "runs"], ExitCode.USAGE, "has no tensorboard"),
        (["--model", "ease:colour=red"], ExitCode.USAGE, "ease has no option 'colour'. Options: window, calibrate."),
        (["--model", "ease:window"], ExitCode.USAGE, "it looks like ease:option=value"),
        (["--model", "ease:window=wide"], ExitCode.USAGE, "window of ease is a whole number, not 'wide'."),
        (["--model", "ease,count_demand"], ExitCode.USAGE, "There is no model 'ease,count_demand'"),
        (["--model", "hybrid:loss=crossed"], ExitCode.USAGE, "There is no loss 'crossed'; there are wmrb"),
        (["--model", "count_demand", "--every", "often"], ExitCode.USAGE, "'often' is no duration"),
        (["--model", "count_demand", "--until", "then"], ExitCode.USAGE, "'then' is no date"),
        (["--model", "count_demand", "--until", "2001-01-01"], ExitCode.DATA, "Nothing was bought before"),
    ],
)
def test_options_that_cannot_be_used(
    arguments: list[str], code: ExitCode, sentence: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", str(table), *arguments]) == code
    assert sentence in capsys.readouterr().err


def test_data_is_needed(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--model", "count_demand"]) == ExitCode.USAGE
    assert "There is no invoice table to read" in capsys.readouterr().err
    assert main(["train", "--model", "count_demand", "--data", str(empty)]) == ExitCode.DATA
    assert "holds no rows below its column names" in capsys.readouterr().err


@pytest.mark.parametrize("epochs", [0, 1])
def test_an_interrupted_training_can_be_resumed_after_its_first_epoch(
    epochs: int, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C before and after the first epoch; what an earlier training left does not count."""
    checkpoints = tmp_path / "cache" / "training"
    checkpoints.mkdir(parents=True)
    (checkpoints / "earlier.npz").touch()
    os.utime(checkpoints / "earlier.npz", (1.0, 1.0))
    monkeypatch.setenv("NEXTBASKET_CACHE", str(tmp_path / "cache"))

    def interrupted(*_: object) -> None:
        if epochs:
            (checkpoints / "now.npz").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("stream.commands.train._round", interrupted)
    assert main(["train", "--data", str(table), "--model", "basket_lstm"]) == ExitCode.INTERRUPTED
    error = capsys.readouterr().err
    assert ("the same command goes on from the last finished epoch" in error) is bool(epochs)
    assert "Interrupted" in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_repeated_training_continues_after_a_failure_and_ends_on_a_signal(number: int, tmp_path: Path) -> None:
    """The first rounds find no table; one that comes later is used; a signal ends the wait at once."""
    from training.data.simulator import simulate

    path = tmp_path / "later.parquet"
    registry = tmp_path / "registry"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "stream",
            "train",
            "--data",
            str(path),
            "--model",
            "count_demand",
            "--every",
            "1s",
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"NEXTBASKET_REGISTRY": str(registry)},
    )
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("This round failed" in line for line in lines)
        aside = tmp_path / "aside.parquet"
        simulate(customers=60, items=80, days=200, seed=5).to_parquet(aside)
        aside.rename(path)
        deadline = time.monotonic() + 120
        while not (registry / "current").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(number)
        rest = process.communicate(timeout=60)[1]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == ExitCode.OK
    assert rest.endswith("Ended.\n")
    assert "Traceback" not in rest


def test_a_trainer_without_data_tries_again_soon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began: list[float] = []
    clock = FakeClock()

    def fail(*_: object) -> None:
        began.append(clock.now)
        if len(began) == 4:
            signal.raise_signal(signal.SIGTERM)
        raise Failure("There are no purchases", ExitCode.DATA)

    monkeypatch.setattr("stream.commands.train._round", fail)
    monkeypatch.setattr("stream.training_rounds.time", clock)
    assert main(["train", "--every", "6h"]) == ExitCode.OK
    assert began == pytest.approx([0.0, 60.0, 180.0, 420.0])
    assert "the next begins in 60 s: There are no purchases" in capsys.readouterr().err
