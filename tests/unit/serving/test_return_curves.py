"""Every served model predicts the return without a ranking as it does with one."""

import numpy as np
import pytest

from state.events.dates import DAY
from tests.unit.serving.scorers import SCORERS, make_scorer, replayed
from training.serving.scorer import ReturnCurves


@pytest.mark.parametrize("name", sorted(SCORERS))
@pytest.mark.parametrize("days", [0, 20])
def test_the_curves_are_those_of_the_predictions(name: str, days: int) -> None:
    replay = replayed()
    assert replay.now is not None
    histories = [each for each in replay.histories.values() if each.purchase_dates and not each.returned_codes]
    scorer, now = make_scorer(name), replay.now + days * DAY
    assert isinstance(scorer, ReturnCurves)
    predicted = [each.return_curve for each in scorer.predict(histories, replay.items, now, 3)]
    np.testing.assert_allclose(scorer.return_curves(histories, now), predicted, rtol=1e-4, atol=1e-6)
