"""The tables of the benchmark of the stream."""

import pytest

from bench.stream.measure import Result
from bench.stream.stages import Stages, between
from bench.stream.start import Start
from bench.stream.steady import Steady
from bench.stream.tables import ratios, show


def result(cpu_us: float, p99_ms: float, capacity: float) -> Result:
    steady = Steady(100, 800, 780, cpu_us * 4, 15.0, p99_ms, 2 * p99_ms, {"wait": (2.0, 400), "answer": (6.0, 400)})
    return Result("d", "whole invoices", 300.0, cpu_us, 0.7, {}, 160, capacity, steady, steady, Start(2.0, 1.0, 101))


def test_what_a_stage_took_meanwhile_is_the_difference() -> None:
    before: Stages = {"apply": (1.0, 10)}
    after: Stages = {"apply": (3.0, 14), "commit": (0.5, 1), "idle": (0.0, 0)}
    assert between(before, after) == {"apply": (2.0, 4), "commit": (0.5, 1)}


def test_a_run_is_compared_with_targets_and_with_its_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"d": result(800, 50.0, 240.0), "d-baseline": result(1_000, 500.0, 120.0)}
    by_name = {name: (value, met) for name, value, _, met in ratios(found)}
    assert by_name["(d) p99 at the fixed rate, ms"] == (50.0, True)
    assert by_name["(d) CPU an event of a flood / baseline"] == (0.8, True)
    assert by_name["(d) p99 at the fixed rate / baseline"] == (0.1, True)
    assert by_name["(d) capacity / baseline"] == (2.0, True)
    slower = {name: met for name, _, _, met in ratios({"d": found["d-baseline"], "d-baseline": found["d"]})}
    assert not slower["(d) CPU an event of a flood / baseline"]
    show(found)
    assert "(d) at a fixed rate: wait 5.0  answer 15.0" in capsys.readouterr().out
