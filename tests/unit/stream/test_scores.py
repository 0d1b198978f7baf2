import math

import pytest

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.store.protocol import CustomerUpdate, PriorRecommendation
from stream.pipeline.scores import scores


def update(priors: list[PriorRecommendation], *lines: tuple[str, int]) -> CustomerUpdate:
    invoice = HeldInvoice("2", 200, tuple(HeldLine(code, quantity, 1.0) for code, quantity in lines))
    earlier = HeldInvoice("1", 100, (HeldLine("Z", 1_000, 1.0),))
    return CustomerUpdate(CustomerHistory("7", (earlier, invoice)), 5, 4, True, None, priors)


def prior(*codes: str) -> list[PriorRecommendation]:
    return [PriorRecommendation("2", "r1", "m/1", list(codes))]


def test_a_score_worked_by_hand() -> None:
    (found,) = scores(
        update(prior("X", "A", "B"), ("A", 1_000), ("B", 2_000), ("C", 500), ("D", -500)), scored_at="now"
    )
    assert (found.rec_id, found.customer_id, found.invoice_no, found.model) == ("r1", "7", "2", "m/1")
    assert found.items == 3
    assert (found.hit_at_1, found.hit_at_10) == (0, 1)
    assert found.recall_at_10 == round(2 / 3, 6)
    gain = 1 / math.log2(3) + 1 / math.log2(4)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found.ndcg_at_10 == pytest.approx(gain / ideal, abs=1e-6)


def test_only_the_top_ten_count() -> None:
    (found,) = scores(update(prior(*"0123456789", "A"), ("A", 1_000)), scored_at="now")
    assert (found.hit_at_10, found.recall_at_10, found.ndcg_at_10) == (0, 0.0, 0.0)


def test_a_hit_at_rank_one() -> None:
    (found,) = scores(update(prior("A"), ("A", 1_000)), scored_at="now")
    assert (found.hit_at_1, found.recall_at_10, found.ndcg_at_10) == (1, 1.0, 1.0)


def test_no_score_without_a_prior_recommendation_or_a_purchase() -> None:
    assert scores(update([], ("A", 1_000)), scored_at="now") == []
    assert scores(update(prior("A"), ("A", -1_000)), scored_at="now") == []
    assert scores(update([PriorRecommendation("gone", "r1", "m/1", ["A"])], ("A", 1_000)), scored_at="now") == []


def test_each_invoice_is_scored_separately() -> None:
    found = scores(update([PriorRecommendation("1", "r1", "m/1", ["Z"]), *prior("A")], ("B", 1_000)), scored_at="now")
    assert [(one.invoice_no, one.hit_at_10) for one in found] == [("1", 1), ("2", 0)]


def test_an_empty_recommendation_scores_nothing() -> None:
    (found,) = scores(update(prior(), ("A", 1_000)), scored_at="now")
    assert (found.hit_at_1, found.hit_at_10, found.recall_at_10, found.ndcg_at_10) == (0, 0, 0.0, 0.0)


def test_ten_hits_are_a_perfect_ranking_of_a_larger_basket() -> None:
    (found,) = scores(update(prior(*"ABCDEFGHIJ"), *((code, 1_000) for code in "ABCDEFGHIJKLM")), scored_at="now")
    assert found.ndcg_at_10 == 1.0
    assert found.recall_at_10 == round(10 / 13, 6)
