from random import Random

from hypothesis import given
from hypothesis import strategies as st

from stream.tools.sorted_lines import sort_lines


@given(
    st.dictionaries(st.text(max_size=5), st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b""))),
    st.integers(1, 60),
    st.randoms(use_true_random=False),
)
def test_lines_are_sorted_by_key_whatever_fits_in_memory(
    lines: dict[str, bytes], run_bytes: int, random: Random
) -> None:
    shuffled = list(lines.items())
    random.shuffle(shuffled)
    assert list(sort_lines(shuffled, run_bytes)) == [lines[key] for key in sorted(lines)]


def test_of_two_lines_with_one_key_the_first_is_written() -> None:
    entries = [("b", b"first"), ("a", b"only"), ("b", b"second")]
    assert list(sort_lines(entries)) == [b"only", b"first"]
    assert list(sort_lines(entries, run_bytes=1)) == [b"only", b"first"], "the same when every line is a run"
