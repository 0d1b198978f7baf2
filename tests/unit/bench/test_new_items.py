"""Positions for new items in a list: the order stays, and no more items bought before than there is room for."""

from hypothesis import given
from hypothesis import strategies as st

from bench.research.new_items import LIST, list_with_new

RANKING = [f"{number:03}" for number in range(60)]


@given(st.frozensets(st.sampled_from(RANKING)), st.integers(0, LIST))
def test_a_list_has_as_many_new_items_as_positions_where_there_are_as_many(
    known: frozenset[str], reserved: int
) -> None:
    shown = list_with_new(RANKING, known, reserved)

    n_new = sum(code not in known for code in shown)
    assert shown == sorted(shown)
    assert len(set(shown)) == len(shown) <= LIST
    assert n_new >= min(reserved, len(RANKING) - len(known))
    assert n_new == len(shown) or all(code in shown for code in RANKING[: LIST - reserved])


def test_without_positions_the_list_is_the_ranking() -> None:
    assert list_with_new(RANKING, frozenset(RANKING[:25]), 0) == RANKING[:LIST]


def test_new_items_that_rank_high_count() -> None:
    known = frozenset(RANKING[2:50])

    assert list_with_new(RANKING, known, 4) == [*RANKING[:18], *RANKING[50:52]]
