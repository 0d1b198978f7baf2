"""Redrives use transactions on every broker but the embedded one."""

import pytest

from state.settings import Settings
from stream.kafka.config import EMBEDDED_API_VERSION
from stream.kafka.letter_sender import has_transactions


@pytest.mark.parametrize(("version", "expected"), [("", True), ("3.9", True), (EMBEDDED_API_VERSION, False)])
def test_a_version_that_is_set_for_a_real_broker_keeps_its_transactions(version: str, expected: bool) -> None:
    assert has_transactions(Settings(kafka_api_version=version)) is expected
