"""Hit, recall and NDCG against values worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.domain.ranking_metrics import hit_at, ndcg_at, recall_at

RANKING = ["a", "b", "c", "d", "e"]
FIRST, SECOND, THIRD = 1.0, 1.0 / math.log2(3), 0.5  # the gain of a hit at ranks 1, 2, 3


def test_hit_looks_no_further_than_k() -> None:
    assert hit_at(RANKING, {"c"}, 3) == 1.0
    assert hit_at(RANKING, {"c"}, 2) == 0.0
    assert hit_at([], {"c"}, 2) == 0.0
    assert hit_at(RANKING, set(), 5) == 0.0


def test_recall_is_over_all_that_was_bought() -> None:
    assert recall_at(RANKING, {"a", "c", "x", "y"}, 3) == 0.5
    assert recall_at(RANKING, {"a", "c", "x", "y"}, 1) == 0.25
    assert math.isnan(recall_at(RANKING, set(), 3))


@pytest.mark.parametrize(
    ("basket", "k", "expected"),
    [
        ({"a"}, 3, 1.0),
        ({"c"}, 3, THIRD),
        ({"a", "c"}, 3, (FIRST + THIRD) / (FIRST + SECOND)),
        # More bought than k: the ideal is k hits, not four.
        ({"a", "x", "y", "z"}, 2, FIRST / (FIRST + SECOND)),
        ({"a", "b", "c", "d", "e", "x"}, 3, 1.0),
        ({"x"}, 3, 0.0),
    ],
)
def test_ndcg_by_hand(basket: set[str], k: int, expected: float) -> None:
    assert ndcg_at(RANKING, basket, k) == pytest.approx(expected)


def test_ndcg_of_an_empty_basket_is_not_defined() -> None:
    assert math.isnan(ndcg_at(RANKING, set(), 3))


CODES = st.lists(st.sampled_from("abcdefghij"), unique=True)


@given(ranking=CODES, basket=st.sets(st.sampled_from("abcdefghijxyz"), min_size=1), k=st.integers(1, 12))
def test_metrics_stay_within_bounds_and_agree(ranking: list[str], basket: set[str], k: int) -> None:
    hit, recall, ndcg = hit_at(ranking, basket, k), recall_at(ranking, basket, k), ndcg_at(ranking, basket, k)
    assert 0.0 <= recall <= 1.0
    assert 0.0 <= ndcg <= 1.0 + 1e-12
    assert (hit == 0.0) == (recall == 0.0) == (ndcg == 0.0)
    repeat, new = {code for code in basket if code < "e"}, {code for code in basket if code >= "e"}
    found = sum(recall_at(ranking, part, k) * len(part) for part in (repeat, new) if part)
    assert found == pytest.approx(recall * len(basket))
    assert recall_at(ranking, basket, k + 1) >= recall


@given(basket=st.sets(st.sampled_from("abcdefghij"), min_size=1), k=st.integers(1, 12))
def test_a_perfect_ranking_has_an_ndcg_of_one(basket: set[str], k: int) -> None:
    ranking = sorted(basket) + sorted(set("abcdefghij") - basket)
    assert ndcg_at(ranking, basket, k) == pytest.approx(1.0)
