"""Return probabilities computed from the hazards of the network."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from tests.unit.features.shop import history
from training.features.return_time.inputs import RETURN_INPUTS
from training.serving.return_time.network import EDGES, NumpyReturnNetwork
from training.serving.scorer import HORIZONS

WIDTH = 3
ANN = history((100 * DAY, {"00001": 1}), (120 * DAY, {"00001": 1}))
BOUGHT = 120 * DAY


def arrays(hazard: float | None = None, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Of a network with random weights, or with the same hazard in every interval."""
    generator = np.random.default_rng(seed)
    intervals = len(EDGES) - 1
    found = {
        "since": np.zeros(1),
        "mean": generator.normal(size=len(RETURN_INPUTS)),
        "deviation": generator.uniform(0.5, 2.0, len(RETURN_INPUTS)),
        "hidden_kernel": generator.normal(size=(len(RETURN_INPUTS), WIDTH)),
        "hidden_bias": generator.normal(size=WIDTH),
        "hazard_kernel": generator.normal(size=(WIDTH, intervals)),
        "hazard_bias": generator.normal(size=intervals) - 2.0,
    }
    if hazard is not None:
        found["hazard_kernel"][:] = 0.0
        found["hazard_bias"][:] = np.log(hazard / (1.0 - hazard))
    return {name: array.astype(np.float32) for name, array in found.items()}


def test_the_curve_by_hand() -> None:
    """A tenth of those left come back in each interval; 5 intervals end within 7 days, 7 within 14."""
    curve = NumpyReturnNetwork(arrays(0.1)).curve([ANN], BOUGHT)[0]
    before = [EDGES.index(float(horizon)) for horizon in HORIZONS]
    assert before[:2] == [5, 7]
    assert curve == pytest.approx([1 - 0.9**passed for passed in before], rel=1e-5)


def test_days_without_a_return_are_conditioned_on() -> None:
    """After 7 days without a return, 14 days from the purchase are two intervals away; 3.5 to 10.5 are 2 3/8."""
    model = NumpyReturnNetwork(arrays(0.1))
    assert model.curve([ANN], BOUGHT + 7 * DAY)[0][0] == pytest.approx(1 - 0.9**2, rel=1e-5)
    later = model.curve([ANN], BOUGHT + int(3.5 * DAY))[0]
    assert later[0] == pytest.approx(1 - 0.9 ** (0.25 + 2 + 1 / 8), rel=1e-5)


def test_behind_the_last_edge_the_hazard_continues() -> None:
    curve = NumpyReturnNetwork(arrays(0.1)).curve([ANN], BOUGHT + 1_000 * DAY)[0]
    assert curve == pytest.approx([1 - 0.9 ** (horizon / 96) for horizon in HORIZONS], rel=1e-5)


def test_days_until_a_probability_by_hand() -> None:
    """10 % after the first interval of half a day; half after 6.58 intervals; 90 % never (16 intervals hold 81 %)."""
    model = NumpyReturnNetwork(arrays(0.1))
    days = model.days_until([ANN], BOUGHT, (0.1, 0.5, 0.9))[0]
    passed = np.log(0.5) / np.log(0.9)
    assert days[0] == pytest.approx(0.5, rel=1e-5)
    assert days[1] == pytest.approx(10 + (passed - 6) * 4, rel=1e-4)
    assert np.isnan(days[2])
    # Four days later a tenth is an interval away, that from the fourth day to the seventh.
    assert model.days_until([ANN], BOUGHT + 4 * DAY, (0.1,))[0] == pytest.approx(3.0, rel=1e-4)


@given(
    seed=st.integers(0, 1_000),
    steps=st.lists(st.integers(0, 500 * DAY), max_size=12),
    passed=st.integers(-DAY, 3_000 * DAY),
    probability=st.floats(0.01, 0.99),
)
def test_one_curve_that_never_falls(seed: int, steps: list[int], passed: int, probability: float) -> None:
    dates = (DAY + np.cumsum(steps, dtype=np.int64)).tolist()
    ann = history(*((date, {"00001": 1}) for date in dates))
    now = (dates[-1] if dates else 0) + passed
    model = NumpyReturnNetwork(arrays(seed=seed))
    curve = model.curve([ann], now)[0].tolist()
    assert all(0.0 <= sooner <= later <= 1.0 for sooner, later in itertools.pairwise(curve))
    day = model.days_until([ann], now, (probability,))[0, 0]
    # The date where it reaches a probability lies between the horizons where it is below and above.
    for horizon, value in zip(HORIZONS, curve, strict=True):
        if day < horizon - 1e-6:
            assert value >= probability - 1e-9
        if day > horizon + 1e-6:
            assert value <= probability + 1e-9


def test_a_curve_does_not_depend_on_the_other_customers_of_a_batch() -> None:
    several = [ANN, CustomerHistory("nobody"), history(*((day * DAY, {"00001": 1}) for day in range(1, 120)))]
    model = NumpyReturnNetwork(arrays(seed=1))
    together = model.curve(several, BOUGHT + DAY)
    alone = np.concatenate([model.curve([each], BOUGHT + DAY) for each in several])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert model.curve([], BOUGHT).shape == (0, len(HORIZONS))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("hidden_bias", np.zeros(WIDTH + 1, np.float32)),
        ("hazard_bias", np.full(len(EDGES) - 1, np.nan, np.float32)),
        ("mean", np.zeros(len(RETURN_INPUTS))),
        ("deviation", np.zeros(len(RETURN_INPUTS), np.float32)),
        ("more", np.zeros(1, np.float32)),
    ],
)
def test_arrays_that_are_no_such_network_are_refused(name: str, array: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="network of returns"):
        NumpyReturnNetwork(arrays() | {name: array})  # type: ignore[arg-type]  # the wrong kind is the case
