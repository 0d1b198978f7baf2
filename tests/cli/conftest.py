"""An environment without settings of whoever runs the tests, and a small table."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root_logger import restored_root_logger
from training.data.simulator import simulate


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("NEXTBASKET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXTBASKET_REGISTRY", str(tmp_path / "registry"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """A command may point the root logger at the standard error of its test."""
    with restored_root_logger():
        yield


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 100 simulated customers over eight months from 2010-12-01 on."""
    path = tmp_path_factory.mktemp("data") / "shop.parquet"
    simulate(customers=100, items=120, days=240, seed=5).to_parquet(path)
    return path
