"""The gate, worked by hand."""

import math

import pytest

from training.registry import decide
from training.registry.gate import Decision

BASELINES = {"gp_topfreq": {"ndcg@10": 0.2869}, "count_demand": {"ndcg@10": 0.2970}}


def value(ndcg: float) -> dict[str, float]:
    return {"ndcg@10": ndcg, "hit@1": 1.0}


def test_better_than_all_is_promoted() -> None:
    assert decide(value(0.33), value(0.32), BASELINES) == Decision(
        True,
        "The candidate's ndcg@10 of 0.3300 beats the 0.2970 of count_demand, the best baseline, and is not below the "
        "champion's 0.3200.",
    )


def test_as_good_as_the_champion_is_promoted() -> None:
    assert decide(value(0.32), value(0.32), BASELINES).promote


def test_below_the_champion_is_not_promoted() -> None:
    decision = decide(value(0.3199), value(0.32), BASELINES)

    assert not decision.promote
    assert decision.reason == "The candidate's ndcg@10 of 0.3199 is below the champion's 0.3200."


@pytest.mark.parametrize("ndcg", [0.2970, 0.29])
def test_a_candidate_that_does_not_beat_the_best_baseline_is_not_promoted(ndcg: float) -> None:
    decision = decide(value(ndcg), value(0.1), BASELINES)

    assert not decision.promote
    assert decision.fallback is None
    assert "does not beat the 0.2970 of count_demand" in decision.reason


def test_the_first_champion_is_the_candidate_if_it_beats_the_baselines() -> None:
    assert decide(value(0.2971), None, BASELINES).promote


def test_the_first_champion_is_the_best_baseline_otherwise() -> None:
    decision = decide(value(0.2970), None, BASELINES)

    assert (decision.promote, decision.fallback) == (False, "count_demand")


@pytest.mark.parametrize("metrics", [{}, {"ndcg@10": math.nan}, {"ndcg@10": math.inf}, {"hit@1": 1.0}])
def test_a_candidate_without_a_value_is_never_promoted(metrics: dict[str, float]) -> None:
    assert decide(metrics, None, BASELINES) == Decision(False, "The candidate has no ndcg@10.", "count_demand")
    assert decide(metrics, value(0.1), BASELINES) == Decision(False, "The candidate has no ndcg@10.")
    assert not decide(metrics, None, {}).promote


def test_a_champion_without_a_value_blocks_nothing() -> None:
    assert decide(value(0.33), {"ndcg@10": math.nan}, BASELINES).promote


def test_without_baselines_the_champion_decides() -> None:
    assert decide(value(0.33), value(0.32), {}).promote
    assert not decide(value(0.31), value(0.32), {}).promote
    assert decide(value(0.0), None, {}).promote


def test_of_equal_baselines_the_first_by_name_is_the_fallback() -> None:
    assert decide({}, None, {"b": value(0.2), "a": value(0.2), "c": value(0.1)}).fallback == "a"
