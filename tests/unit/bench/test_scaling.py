"""The figures of a group of workers and of several Redis servers."""

import pytest

from bench.scaling.__main__ import show, verdicts
from bench.scaling.drain import STAGES, Drain
from bench.scaling.servers import Spent


def drain(workers: int, cpu_s: float, nodes: list[float], *, in_turns: bool = False) -> Drain:
    spent = [Spent(cpu, round(1_000 * cpu), 0) for cpu in nodes]
    stages = dict.fromkeys(STAGES, 100.0)
    idle = 0.1 * workers
    return Drain(workers, in_turns, 10_000, 20_000, 500, 2.0, cpu_s, idle, 0.4, spent, stages, [1.0], 200.0, 2_000.0)


def test_what_a_group_takes_when_idle_is_no_cost_of_an_event() -> None:
    assert drain(1, 1.2, [0.2]).worker_us == pytest.approx(100)
    assert drain(4, 1.8, [0.2]).worker_us == pytest.approx(100)
    assert drain(1, 1.2, [0.2, 0.2]).redis_us == pytest.approx(20)


def test_a_group_and_a_cluster_are_compared_with_what_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    found = [drain(1, 1.2, [0.1, 0.1, 0.1]), drain(4, 1.9, [0.2, 0.1, 0.1])]
    show("a Cluster of three", "lines", found)
    verdicts("a Cluster of three", "lines", found)
    printed = capsys.readouterr().out
    assert "4 workers / 1   1.10   target: at most 1.1  NOT MET" not in printed
    assert "busiest node / mean" in printed
    assert printed.count("NOT MET") == 1


def test_a_group_is_compared_with_one_worker_at_once_and_in_turns(capsys: pytest.CaptureFixture[str]) -> None:
    found = [drain(1, 1.2, [0.1]), drain(2, 1.5, [0.1]), drain(4, 2.3, [0.1]), drain(4, 1.9, [0.1], in_turns=True)]
    show("one Redis", "lines", found)
    verdicts("one Redis", "lines", found)
    *_, at_once, in_turns = capsys.readouterr().out.splitlines()
    assert "4 workers / 1 " in at_once
    assert "1.50   target: at most 1.1  NOT MET" in at_once
    assert "4 workers in turns / 1 " in in_turns
    assert "1.10   target: at most 1.1  met" in in_turns
