import pytest

from state.domain.clock import differing_clocks, is_ahead_of_record, records_ahead

NOW = 1_700_000_000.0
DAY = 86_400


@pytest.mark.parametrize(("difference", "side"), [(-3 * DAY, "ahead of"), (3 * DAY, "behind"), (61, "behind")])
def test_a_clock_that_differs_from_the_servers_is_reported_with_both(difference: float, side: str) -> None:
    sentence = differing_clocks(NOW, NOW + difference, 60.0)
    assert sentence is not None
    assert f"{abs(difference):,.0f} s {side} that of Redis" in sentence


def test_a_minute_is_no_difference_and_no_server_no_witness() -> None:
    assert differing_clocks(NOW, NOW + 60, 60.0) is None
    assert differing_clocks(NOW, None, 60.0) is None
    assert differing_clocks(NOW, NOW + 3 * DAY, 0.0) is None


def test_one_record_from_the_future_does_not_outweigh_two_clocks() -> None:
    future, usual = NOW + 10 * 365 * DAY, NOW - 1
    assert records_ahead(NOW, [future], server_agrees=True, max_difference_s=60) is None
    assert records_ahead(NOW, [usual, usual, future], server_agrees=True, max_difference_s=60) is None
    assert records_ahead(NOW, [future] * 3, server_agrees=True, max_difference_s=60) is not None
    assert records_ahead(NOW, [future], server_agrees=False, max_difference_s=60) is not None
    assert records_ahead(NOW, [], server_agrees=False, max_difference_s=60) is None


def test_an_invoice_may_be_dated_a_day_ahead_of_its_record_and_no_more() -> None:
    assert not is_ahead_of_record(int(NOW) + DAY + 60, NOW, 1, 60.0)
    assert is_ahead_of_record(int(NOW) + DAY + 61, NOW, 1, 60.0)
    for unstamped in (None, 0.0, -0.001):
        assert not is_ahead_of_record(int(NOW) + 9_999 * DAY, unstamped, 1, 60.0)
