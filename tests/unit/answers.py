"""Comparing what two scorers of the same model say."""

from collections.abc import Sequence

import pytest

from training.serving.scorer import Prediction


def assert_same_answers(found: Sequence[Prediction], expected: Sequence[Prediction]) -> None:
    """The same items for the same reasons, with the same chances but for the last digits.

    A float32 product differs there with where its operands happen to lie in memory.
    """
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert [(each.stock_code, each.source_item) for each in one.candidates] == [
            (each.stock_code, each.source_item) for each in other.candidates
        ]
        assert [each.probability for each in one.candidates] == pytest.approx(
            [each.probability for each in other.candidates], rel=1e-5
        )
        assert one.return_curve == pytest.approx(other.return_curve, rel=1e-5)
