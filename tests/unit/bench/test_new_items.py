"""A share of a list for new items: the order stays, and no more items bought before than there is room for."""

from hypothesis import given
from hypothesis import strategies as st

from bench.research.new_items import LIST, list_under, rules_for
from tests.unit.features.shop import history
from training.serving.scorer import Candidate, Prediction

RANKING = [f"{number:03}" for number in range(60)]


def listed(known: frozenset[str], share: float) -> list[str]:
    candidates = [Candidate(code, 1 / (rank + 2)) for rank, code in enumerate(RANKING)]
    prediction = Prediction(candidates[:30], (), candidates[30:])
    return list_under(rules_for(share), prediction, history((1, dict.fromkeys(sorted(known), 1))))


@given(st.frozensets(st.sampled_from(RANKING)), st.integers(0, LIST))
def test_a_list_has_as_many_new_items_as_positions_where_there_are_as_many(
    known: frozenset[str], reserved: int
) -> None:
    shown = listed(known, reserved / LIST)

    n_new = sum(code not in known for code in shown)
    assert shown == sorted(shown)
    assert len(set(shown)) == len(shown) <= LIST
    assert n_new >= min(reserved, len(RANKING) - len(known))
    assert n_new == len(shown) or all(code in shown for code in RANKING[: LIST - reserved])


def test_without_a_share_the_list_is_the_ranking() -> None:
    assert listed(frozenset(RANKING[:25]), 0.0) == RANKING[:LIST]


def test_new_items_that_rank_high_count() -> None:
    known = frozenset(RANKING[2:50])

    assert listed(known, 0.2) == [*RANKING[:18], *RANKING[50:52]]
