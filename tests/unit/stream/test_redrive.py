from hypothesis import given
from hypothesis import strategies as st

from stream.tools.redrive import Position, advance, decode_offsets, encode_offsets


def test_ranges_worked_by_hand() -> None:
    assert encode_offsets([5, 6, 7, 9, 12, 13]) == "5-7,9,12-13"
    assert encode_offsets([]) == ""
    assert decode_offsets("5-7,9,12-13") == {5, 6, 7, 9, 12, 13}
    assert decode_offsets("") == frozenset()


@given(st.frozensets(st.integers(0, 500)))
def test_ranges_round_trip(offsets: frozenset[int]) -> None:
    assert decode_offsets(encode_offsets(offsets)) == offsets


def test_other_metadata_has_no_offsets() -> None:
    for text in ("hello", "1-x", "-3", "1,b"):
        assert decode_offsets(text) == frozenset()


def test_when_all_are_sent_the_position_is_the_end() -> None:
    assert advance(Position(3, frozenset()), [], {3, 4, 6}, 7) == Position(7, frozenset())


def test_the_position_stops_at_the_first_letter_left_and_lists_those_done_behind_it() -> None:
    position = advance(Position(0, frozenset()), [1, 4], {0, 2, 3}, 5)
    assert position == Position(1, frozenset({2, 3}))
    # Later, by another reason, the rest of them and a new one.
    assert advance(position, [], {1, 4, 5}, 6) == Position(6, frozenset())
    assert advance(position, [4], {1, 5}, 6) == Position(4, frozenset({5}))


def test_letters_done_behind_the_last_one_read_stay_done() -> None:
    """The read ended at 3; letter 5 was sent by an earlier call."""
    assert advance(Position(0, frozenset({1, 5})), [], {0, 2}, 3) == Position(3, frozenset({5}))


@given(st.lists(st.sets(st.integers(0, 30)), max_size=6))
def test_each_letter_is_sent_once_in_whatever_order_reasons_are_chosen(choices: list[set[int]]) -> None:
    position = Position(0, frozenset())
    gone: list[int] = []
    for chosen in choices:
        present = [offset for offset in range(position.next, 31) if offset not in position.beyond]
        sent = chosen & set(present)
        gone += sent
        if sent:
            position = advance(position, [offset for offset in present if offset not in sent], sent, 31)
            assert decode_offsets(encode_offsets(position.beyond)) == position.beyond
    assert len(gone) == len(set(gone))
    assert set(gone) == set().union(*choices)
