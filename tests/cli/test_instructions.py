"""No stage from an event to its message takes a fifth more instructions than are stored (bench/instructions.py)."""

import json
import platform
import shutil
import sys

import pytest

from bench.instructions import STORED, Counts, count, read_stored, slower

PYTHON = json.loads(STORED.read_text())["python"]

pytestmark = [
    pytest.mark.timeout(1_500),  # a minute of processor time, which other work on the machine may draw out
    pytest.mark.skipif(
        shutil.which("valgrind") is None or platform.machine() not in {"x86_64", "AMD64"},
        reason="needs valgrind on x86-64 to count instructions: apt-get install valgrind",
    ),
    pytest.mark.skipif(
        ".".join(map(str, sys.version_info[:2])) != PYTHON,
        reason=f"stored with Python {PYTHON}; python -m bench.instructions --baseline TREE compares two checkouts",
    ),
]


@pytest.fixture(scope="module")
def counts() -> Counts:
    return count()


def test_no_stage_takes_more_instructions_than_are_stored(counts: Counts) -> None:
    found = slower(counts.ratios, read_stored())
    assert not found, f"× the stored instructions: {found}; python -m bench.instructions --store where they are due"
    assert counts.ratios.keys() == read_stored().keys()


def test_a_fifth_more_of_any_stage_would_be_noticed(counts: Counts) -> None:
    assert slower(counts.slowed, counts.ratios).keys() == counts.ratios.keys()
