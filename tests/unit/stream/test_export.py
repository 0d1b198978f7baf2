from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.tools.export import in_order, whole_file


@given(
    st.dictionaries(st.text(max_size=5), st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b""))),
    st.integers(1, 60),
)
def test_lines_are_sorted_by_key_whatever_fits_in_memory(lines: dict[str, bytes], run_bytes: int) -> None:
    shuffled = sorted(lines.items(), key=lambda entry: hash(entry[0]))
    assert list(in_order(shuffled, run_bytes)) == [lines[key] for key in sorted(lines)]


def test_a_key_that_comes_twice_is_written_once() -> None:
    assert list(in_order([("b", b"2"), ("a", b"1"), ("b", b"2")], run_bytes=1)) == [b"1", b"2"]


def test_a_file_takes_its_place_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before")
    with pytest.raises(TypeError), whole_file(path) as file:
        file.writelines([b"half", 3])  # type: ignore[list-item]
    assert path.read_text() == "before"
    with whole_file(path) as file:
        file.write(b"whole")
        assert path.read_text() == "before"
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "nowhere" / "out"):
        pass
    assert list(tmp_path.iterdir()) == []
