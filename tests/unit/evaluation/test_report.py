"""From rankings to figures, tables, JSON and Parquet."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from training.evaluation.compare import Comparison
from training.evaluation.measure import Measured, average, figures, measure, resampling
from training.evaluation.prequential import Case, Ranking, Run
from training.evaluation.report import as_dict, tables, write_rankings
from training.evaluation.split import span

CASES = [
    Case("1", "ann", frozenset("ab"), frozenset("a"), frozenset("b"), frozenset(), 1),
    Case("2", "bob", frozenset("c"), frozenset("c"), frozenset(), frozenset(), 7),
]


def ranking(codes: str) -> Ranking:
    return Ranking(list(codes), [0.5 / (rank + 1) for rank in range(len(codes))])


def comparison(task: str = "next-basket") -> Comparison:
    rankings = {"good": [ranking("axb"), ranking("cab")], "bad": [ranking("xya"), ranking("xyz")]}
    run = Run("visit", "discover" if task == "discover" else "next-basket", CASES, rankings, 10)
    measured = {name: measure(run, name) for name in rankings}
    return Comparison(span("2011-11-09", "2011-12-10"), run.task, "visit", (7,), CASES, measured, run)


def test_values_are_those_of_each_invoice() -> None:
    values = comparison().measured["good"].values
    assert values["hit@1"].tolist() == [1.0, 1.0]
    assert values["recall@10"].tolist() == [1.0, 1.0]
    assert values["ndcg@10"][0] == pytest.approx((1.0 + 0.5) / (1.0 + 1.0 / math.log2(3)))
    assert values["recall@20_repeat"].tolist() == [1.0, 1.0]
    assert values["recall@20_new"][0] == 1.0
    assert math.isnan(values["recall@20_new"][1])


def test_what_is_defined_over_all_invoices() -> None:
    overall = comparison().measured["good"].overall
    assert overall["coverage@10"] == 0.4  # a, b, c and x of ten
    # Six predictions, fewer than bins: each is a bin of its own.
    said = [0.5, 0.25, 0.5 / 3, 0.5, 0.25, 0.5 / 3]
    came = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    assert overall["ece@20"] == pytest.approx(np.mean([abs(p - hit) for p, hit in zip(said, came, strict=True)]))


def test_at_discovery_only_new_items_are_wanted() -> None:
    values = comparison("discover").measured["good"].values
    assert values["recall@10"][0] == 1.0
    assert values["hit@1"][0] == 0.0
    assert values["ndcg@10"][0] == pytest.approx(0.5)


def test_the_mean_over_seeds_is_taken_value_by_value() -> None:
    one = Measured({"hit@1": np.asarray([1.0, 0.0])}, {"ece@20": 0.1})
    two = Measured({"hit@1": np.asarray([0.0, 0.0])}, {"ece@20": 0.3})
    mean = average([one, two])
    assert mean.values["hit@1"].tolist() == [0.5, 0.0]
    assert mean.overall["ece@20"] == pytest.approx(0.2)


def test_figures_by_length_of_history() -> None:
    held = figures(comparison().measured["bad"], CASES, resampling(CASES, seed=0))
    assert held.by_length["1"]["n"] == 1.0
    assert held.by_length["6+"]["n"] == 1.0
    assert held.by_length["1"]["recall@10"] == 0.5
    assert held.by_length["6+"]["recall@10"] == 0.0
    assert math.isnan(held.by_length["2"]["recall@10"])
    assert held.mean["recall@10"] == 0.25
    assert held.interval["recall@10"] == (0.0, 0.5)


def test_json_has_every_figure_and_no_nan() -> None:
    report = json.loads(json.dumps(as_dict(comparison()), allow_nan=False))
    assert report["from"] == "2011-11-09"
    assert report["invoices"] == 2
    assert report["best"] == "good"
    assert report["models"]["bad"]["mean"]["recall@10"] == 0.25
    assert report["models"]["bad"]["by_length"]["2"]["recall@10"] is None
    assert report["models"]["good"]["mean"]["recall@20_cold"] is None
    assert report["gains"]["hit@1"] == {"bad": {"mean": 1.0, "low": 1.0, "high": 1.0}}


@pytest.mark.parametrize("task", ["next-basket", "discover"])
def test_tables_show_what_is_not_defined_as_a_dash(task: str) -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    for table in tables(as_dict(comparison(task))):
        console.print(table)
    text = console.export_text()
    assert "good is ahead of" in text
    assert "–" in text
    assert "nan" not in text


def test_rankings_as_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rankings.parquet"
    assert write_rankings(comparison(), path) == 4
    table = pq.read_table(path)
    assert table.column_names == ["model", "invoice_no", "customer_id", "stock_codes", "probabilities"]
    assert table.to_pylist()[1] == {
        "model": "good",
        "invoice_no": "2",
        "customer_id": "bob",
        "stock_codes": ["c", "a", "b"],
        "probabilities": [0.5, 0.25, 0.5 / 3],
    }
