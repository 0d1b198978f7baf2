"""From rankings to figures, tables, JSON and Parquet."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.unit.evaluation.comparisons import CASES, comparison
from training.evaluation.metrics import reliability
from training.evaluation.model_metrics import (
    ModelMetrics,
    average_over_seeds,
    metric_means,
    metric_summaries,
    model_metrics,
    resampling,
)
from training.evaluation.prequential import EvaluationRun, Ranking, Task
from training.evaluation.report import as_dict, write_rankings
from training.evaluation.tables import tables
from training.evaluation.variants import Variant


def measured(model: str, task: Task = "next-basket") -> ModelMetrics:
    return model_metrics(comparison(task).moments["visit"].first_run, model)


def test_values_are_those_of_each_invoice() -> None:
    values = measured("good").per_invoice
    assert values["hit@1"].tolist() == [1.0, 1.0]
    assert values["recall@10"].tolist() == [1.0, 1.0]
    assert values["ndcg@10"][0] == pytest.approx((1.0 + 0.5) / (1.0 + 1.0 / math.log2(3)))
    assert values["recall@20_repeat"].tolist() == [1.0, 1.0]
    assert values["recall@20_new"][0] == values["recall@20_rare"][0] == 1.0
    assert math.isnan(values["recall@20_new"][1])
    assert math.isnan(values["recall@20_rare"][1])


def test_metrics_over_all_invoices() -> None:
    found = measured("good")
    assert found.overall["coverage@10"] == 0.4  # a, b, c and x of ten
    # Six predictions, fewer than bins: each is a bin of its own.
    assert found.predicted.tolist() == [0.5, 0.25, 0.5 / 3, 0.5, 0.25, 0.5 / 3]
    assert found.outcomes.tolist() == [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    assert found.overall["ece@20"] == pytest.approx(np.mean(np.abs(found.predicted - found.outcomes)))


def test_only_the_top_of_long_rankings_is_counted() -> None:
    """Twenty items of each ranking for the calibration error, ten for the coverage."""
    codes = [f"{number:02d}" for number in range(25)]
    ranking = Ranking(codes, [0.5 / (rank + 1) for rank in range(25)])
    run = EvaluationRun("visit", "next-basket", CASES, {"long": [ranking, ranking]}, 50)
    found = model_metrics(run, "long")
    assert found.predicted.tolist() == ranking.probabilities[:20] * 2
    assert len(found.outcomes) == 40
    assert found.overall["coverage@10"] == 10 / 50


def test_a_metric_that_is_defined_nowhere_has_no_mean() -> None:
    means = metric_means({"good": measured("good"), "bad": measured("bad")})
    assert "recall@20_cold" not in means["good"]
    assert means["good"]["recall@20_new"] == 1.0  # of the one invoice with a new item
    assert means["bad"]["recall@10"] == 0.25
    assert means["good"]["coverage@10"] == 0.4


def test_a_model_without_a_value_is_not_the_best() -> None:
    of_both = comparison()
    result = of_both.moments["visit"]
    undefined = {name: np.full(2, np.nan) for name in result.metrics["good"].per_invoice}
    metrics = {"bad": result.metrics["bad"], "zzz": result.metrics["good"]._replace(per_invoice=undefined)}
    variants = {name: Variant(name) for name in metrics}
    alone = of_both._replace(variants=variants, moments={"visit": result._replace(metrics=metrics)})
    assert as_dict(alone)["moments"]["visit"]["best"] == "bad"


def test_at_discovery_only_new_items_are_wanted() -> None:
    values = measured("good", "discover").per_invoice
    assert values["recall@10"][0] == 1.0
    assert values["hit@1"][0] == 0.0
    assert values["ndcg@10"][0] == pytest.approx(0.5)
    assert math.isnan(values["recall@20_rare"][0])  # a is rare, but no news


def test_the_mean_over_seeds_is_taken_value_by_value_and_predictions_are_pooled() -> None:
    one = ModelMetrics({"hit@1": np.asarray([1.0, 0.0])}, {"ece@20": 0.1}, np.asarray([0.2]), np.asarray([0.0]))
    two = ModelMetrics({"hit@1": np.asarray([0.0, 0.0])}, {"ece@20": 0.3}, np.asarray([0.4]), np.asarray([1.0]))
    mean = average_over_seeds([one, two])
    assert mean.per_invoice["hit@1"].tolist() == [0.5, 0.0]
    assert mean.overall["ece@20"] == pytest.approx(0.2)
    assert reliability(mean.predicted, mean.outcomes, bins=1)[0] == pytest.approx((0.3, 0.5, 2))


def test_figures_by_length_of_history() -> None:
    summaries = metric_summaries(measured("bad"), CASES, resampling(CASES, seed=0))
    assert summaries["1"].n == summaries["6+"].n == 1
    assert summaries["1"].mean["recall@10"] == 0.5
    assert summaries["1"].interval["recall@10"] == (0.5, 0.5)
    assert summaries["6+"].mean["recall@10"] == 0.0
    assert math.isnan(summaries["2"].mean["recall@10"])
    assert "ece@20" not in summaries["1"].mean
    assert summaries["all"].mean["recall@10"] == 0.25
    assert summaries["all"].interval["recall@10"] == (0.0, 0.5)


def test_json_has_every_figure_and_no_nan() -> None:
    report = json.loads(json.dumps(as_dict(comparison(moments=("visit", "emission"))), allow_nan=False))
    assert report["from"] == "2011-11-09"
    assert report["invoices"] == 2
    assert report["holding"] == {"repeat": 2, "new": 1, "cold": 0, "rare": 1}
    assert report["curves"]["good"]["7"]["training"] == [3.0, 2.0, 1.5]
    assert list(report["moments"]) == ["visit", "emission"]
    visit = report["moments"]["visit"]
    assert visit == report["moments"]["emission"]
    assert visit["best"] == "good"
    assert visit["models"]["bad"]["mean"]["recall@10"] == 0.25
    assert visit["models"]["bad"]["by_length"]["2"]["mean"]["recall@10"] is None
    assert visit["models"]["bad"]["by_length"]["2"]["interval"]["recall@10"] is None
    assert visit["models"]["good"]["mean"]["recall@20_cold"] is None
    assert sum(part["n"] for part in visit["models"]["good"]["reliability"]) == 6
    assert visit["gains"]["hit@1"]["bad"] == {"mean": 1.0, "low": 1.0, "high": 1.0}


def test_a_variant_is_compared_with_its_base() -> None:
    ablations = as_dict(comparison())["moments"]["visit"]["ablations"]
    # Without b, half of ann's basket is missed; bob's is found as before.
    assert ablations["recall@10"] == {"good:without=b": {"mean": -0.25, "low": -0.5, "high": 0.0}}
    assert ablations["recall@20_new"]["good:without=b"]["mean"] == -1.0


def test_an_undefined_value_is_a_dash_in_tables() -> None:
    models, gains, lengths, ablations = tables(as_dict(comparison()), "visit")
    assert models.rows[0][:3] == ["good", "1.0000", f"{(1.5 / (1 + 1 / math.log2(3)) + 1) / 2:.4f}"[1:]]
    assert "2 invoices of 2 customers, 1 seed" in models.caption
    assert gains.rows[0][:2] == ["bad", "+.8066 [+.6131, +1.0000]"]
    assert lengths.columns == ["model", "1 (n = 1)", "2 (n = 0)", "3-5 (n = 0)", "6+ (n = 1)"]
    assert lengths.rows[1] == ["bad", ".3066", "–", "–", ".0000"]
    assert ablations.rows[0][2] == "-.2500 [-.5000, +.0000]"


def test_at_discovery_cold_and_rare_items_are_shown() -> None:
    report = as_dict(comparison("discover"))
    assert {"recall@20_cold", "recall@20_rare"} <= set(tables(report, "visit")[0].columns)
    assert report["holding"] == {"repeat": 0, "new": 1, "cold": 0, "rare": 0}  # the rare item is known


def test_rankings_at_both_moments_have_its_name(tmp_path: Path) -> None:
    moments = comparison(moments=("visit", "emission")).moments.values()
    assert write_rankings([result.first_run for result in moments], tmp_path / "rankings.parquet") == 12
    names = pq.read_table(tmp_path / "rankings.parquet")["moment"].to_pylist()
    assert names == ["visit"] * 6 + ["emission"] * 6


def test_a_handful_of_invoices_is_warned_of() -> None:
    warning = as_dict(comparison())["warning"]
    assert "mean nothing: only 2 invoices of 2 customers could be predicted" in warning
    few = comparison()
    result = few.moments["visit"]
    cases = [case._replace(invoice_no=str(n), customer_id=str(n % 9)) for n, case in enumerate(CASES * 20)]
    metrics = {
        name: each._replace(per_invoice={metric: np.tile(values, 20) for metric, values in each.per_invoice.items()})
        for name, each in result.metrics.items()
    }
    many = few._replace(moments={"visit": result._replace(cases=cases, metrics=metrics)})
    assert "40 invoices of 9 customers" in as_dict(many)["warning"]
    cases = [case._replace(customer_id=str(n % 10)) for n, case in enumerate(cases)]
    enough = few._replace(moments={"visit": result._replace(cases=cases, metrics=metrics)})
    assert as_dict(enough)["warning"] is None


def test_rankings_as_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rankings.parquet"
    assert write_rankings([comparison().moments["visit"].first_run], path) == 6
    table = pq.read_table(path)
    assert table.column_names == ["model", "moment", "invoice_no", "customer_id", "stock_codes", "probabilities"]
    assert table.to_pylist()[1] == {
        "model": "good",
        "moment": "visit",
        "invoice_no": "2",
        "customer_id": "bob",
        "stock_codes": ["c", "a", "b"],
        "probabilities": [0.5, 0.25, 0.5 / 3],
    }
