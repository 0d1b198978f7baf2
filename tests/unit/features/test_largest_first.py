import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.features.largest_first import largest_first


@given(st.lists(st.tuples(st.integers(0, 4), st.text(max_size=3)), unique_by=lambda pair: pair[1]), st.integers(0, 12))
def test_the_largest_come_first_and_equal_ones_by_their_key(entries: list[tuple[int, str]], k: int) -> None:
    scores = np.asarray([score for score, _ in entries], np.float32)
    found = largest_first(scores, k, lambda position: entries[position][1])
    expected = sorted(entries, key=lambda entry: (-entry[0], entry[1]))[:k]
    assert [entries[position] for position in found.tolist()] == expected
