"""A benchmark that is given what it cannot use says so in a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.data.simulator import write_parquet


def run(*arguments: str, data: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment | ({"NEXTBASKET_DATA": data} if data else {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", ["bench.stream", "bench.scaling", "bench.soak"])
def test_a_table_that_is_not_there_is_named(name: str) -> None:
    done = run(name, data="/nowhere.parquet")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "There is nothing at /nowhere.parquet" in done.stderr


def test_growth_names_a_table_that_is_not_there() -> None:
    done = run("bench.growth", "--table", "/nowhere.parquet")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert "/nowhere.parquet" in done.stderr


def test_a_redis_that_does_not_answer_is_named() -> None:
    done = run("bench.hostile_state", "redis://127.0.0.1:1/0")
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench.soak", "--rate", "0"),
        ("bench.soak", "--events", "-1"),
        ("bench.replay", "--customers", "0"),
        ("bench.replay", "--lines", "-5"),
        ("bench.replay", "--workers", "0"),
        ("bench.scaling", "--workers", "0"),
        ("bench.growth", "0"),
    ],
    ids=" ".join,
)
def test_a_number_that_cannot_be_is_refused(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "at least 1" in done.stderr


def test_help_of_the_selection_does_not_measure() -> None:
    done = run("bench.selection", "--help")
    assert done.returncode == 0
    assert "usage" in done.stdout
    assert "µs a customer" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench.serving", "/nowhere.parquet"),
        ("bench.serving", "pyproject.toml", "--baseline", "/nowhere"),
        ("bench.instructions", "--baseline", "/nowhere"),
    ],
)
def test_a_path_that_is_not_there_is_named_before_anything_is_measured(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "/nowhere" in done.stderr.splitlines()[-1]


def test_a_table_of_too_few_invoices_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "shop.parquet", customers=20)
    done = run("bench.stream", data=str(tmp_path / "shop.parquet"))
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "a larger table by NEXTBASKET_DATA" in done.stderr
