"""The unit tier loads no TensorFlow, by whatever way: its import alone takes seconds."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def no_tensorflow() -> Iterator[None]:
    loaded_before = "tensorflow" in sys.modules
    yield
    assert loaded_before or "tensorflow" not in sys.modules
