"""Parts of a table cleaned in other processes and on a Ray cluster give the log of a single process, byte for byte."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from state.settings import Settings
from training import engine
from training.data import log as log_module
from training.data.cleaning.ledger import Ledger
from training.data.log import CleanedPart, TablePart, read_table
from training.data.simulator import SMALL, write_parquet

SETTINGS = Settings()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engine") / "shop.parquet"
    assert write_parquet(path, SMALL, days=200) > 5_000
    return path


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "PART_ROWS", 600)


def read(table: Path, map_parts: log_module.MapParts) -> tuple[bytes, Ledger]:
    log, ledger = read_table(table, SETTINGS, map_parts=map_parts)
    return msgspec.msgpack.encode(list(log)), ledger


def test_processes_give_the_log_of_one_process(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    pids = set()

    def remember(function: Callable[[TablePart], CleanedPart], parts: Iterable[TablePart]) -> Iterator[CleanedPart]:
        for pid, cleaned in engine.map_parts(_with_pid(function), parts):
            pids.add(pid)
            yield cleaned

    assert read(table, remember) == read(table, map)
    assert pids
    assert os.getpid() not in pids


def test_a_cluster_of_which_a_process_is_killed_gives_the_log_of_one_process(table: Path, tmp_path: Path) -> None:
    died = tmp_path / "died"

    def die_once(function: Callable[[TablePart], CleanedPart], parts: Iterable[TablePart]) -> Iterator[CleanedPart]:
        def clean(numbered: tuple[int, TablePart]) -> CleanedPart:
            if numbered[0] == 3 and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return function(numbered[1])

        yield from engine.map_parts(clean, enumerate(parts))

    with engine.running("ray"):
        found = read(table, die_once)
    assert died.exists()
    assert found == read(table, map)


def _with_pid(function: Callable[[TablePart], CleanedPart]) -> Callable[[TablePart], tuple[int, CleanedPart]]:
    def run(part: TablePart) -> tuple[int, CleanedPart]:
        return os.getpid(), function(part)

    return run
