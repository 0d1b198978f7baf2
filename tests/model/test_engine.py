"""What other processes and a Ray cluster do of a training's preparation is that of a single process, byte for byte."""

import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from state.events.dates import DAY
from state.settings import Settings
from training import engine
from training.data import log as log_module
from training.data.cleaning.ledger import Ledger
from training.data.log import CleanedPart, TablePart, read_table
from training.data.simulator import SMALL, write_parquet
from training.errors import EngineUnavailable
from training.features.basket_lstm.retrieval import Retrieval
from training.models.candidate_views import labelled_views as views_module
from training.models.candidate_views import statistics_history, view_parts
from training.models.candidate_views.labelled_views import labelled_views
from training.models.candidate_views.statistics_history import StatisticsHistory

SETTINGS = Settings()
VIEWED_DAYS = 35


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


def views(log: log_module.InvoiceLog) -> list[tuple[object, ...]]:
    until = log[-1].date + 1
    found = labelled_views(log, StatisticsHistory(log, until), until - VIEWED_DAYS * DAY, until, 100, Retrieval())
    return [
        (each.date, each.codes, each.bought.tobytes(), *(np.asarray(part).tobytes() for part in each.view[:8]))
        for each in found
    ]


def test_processes_build_the_views_of_one_process(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = read_table(table, SETTINGS)
    expected = views(log)
    assert len(expected) > 6 * 20

    _parallel_views(monkeypatch)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    built_here: list[object] = []
    monkeypatch.setattr(view_parts, "build_view", built_here.append)  # in this process only
    assert views(log) == expected
    assert not built_here


def test_results_that_are_not_taken_yet_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    begun: list[int] = []

    def parts() -> Iterator[int]:
        for number in range(40):
            begun.append(number)
            yield number

    results = engine.map_parts(str, parts())
    for number, result in enumerate(results):
        assert result == str(number)
        assert len(begun) <= max(number + 1 + 2 * 2, engine.MIN_PARTS)
    assert len(begun) == 40


def test_a_cluster_of_which_a_process_is_killed_gives_the_log_and_the_views_of_one_process(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, ledger = read_table(table, SETTINGS)
    expected = views(log)
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
        _parallel_views(monkeypatch)
        monkeypatch.setattr(view_parts, "build_view", None)  # in this process only
        assert views(log) == expected
    assert died.exists()
    assert found == (msgspec.msgpack.encode(list(log)), ledger)


def _parallel_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_module, "MIN_PARALLEL_VIEWS", 0)
    monkeypatch.setattr(statistics_history, "MIN_PARALLEL_ITEMS", 0)
    monkeypatch.setattr(view_parts, "VIEWS", 20)


def _with_pid(function: Callable[[TablePart], CleanedPart]) -> Callable[[TablePart], tuple[int, CleanedPart]]:
    def run(part: TablePart) -> tuple[int, CleanedPart]:
        return os.getpid(), function(part)

    return run


def test_an_address_without_a_cluster_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with (
            pytest.raises(EngineUnavailable, match=rf"No Ray cluster answers at {address} .*NEXTBASKET_RAY_ADDRESS"),
            engine.running("ray", address),
        ):
            pytest.fail("there is a cluster")
