import pytest

from stream.monitoring import Metrics


def test_stages_are_timed_even_where_they_fail() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError), metrics.stage("apply"):
        raise KeyError
    assert metrics.registry.get_sample_value("nextbasket_stage_seconds_count", {"stage": "apply"}) == 1


def test_two_workers_in_one_process_have_separate_counts() -> None:
    one, other = Metrics(), Metrics()
    one.batch(3)
    assert one.registry.get_sample_value("nextbasket_events_total") == 3
    assert other.registry.get_sample_value("nextbasket_events_total") == 0


def test_a_timestamp_in_the_future_counts_as_no_latency() -> None:
    metrics = Metrics()
    metrics.latency(-1.0)
    assert metrics.registry.get_sample_value("nextbasket_latency_seconds_sum") == 0.0
    assert metrics.registry.get_sample_value("nextbasket_latency_seconds_count") == 1
