"""What ``nextbasket show`` writes about the next purchase."""

from state.domain.recommendation import NextPurchase
from stream.pipeline.recommendations import next_purchase
from stream.tools.explanations import describe_next_purchase

NOW = 1_323_435_000


def test_all_three_dates() -> None:
    found = NextPurchase({"7": 0.2, "90": 0.95}, "2011-12-14", "2012-01-02", "2012-03-01")
    assert describe_next_purchase(found) == (
        "Next purchase: 20% within 7 days, 95% within 90 days.\n"
        "The chance reaches 10% on 2011-12-14 (earliest), 50% on 2012-01-02 (median) and 90% on 2012-03-01 (latest)."
    )


def test_dates_that_the_chance_does_not_reach_are_explained() -> None:
    found = next_purchase([0.05, 0.1, 0.2, 0.3, 0.34], NOW)
    assert found.median is None
    first, second = describe_next_purchase(found).splitlines()
    assert first.endswith("34% within 90 days.")
    assert second.startswith("The chance reaches 10% on ")
    assert second.endswith(
        " (earliest). There is no median and no latest date: the chance stays below 50% within 90 days, the longest "
        "time that the model predicts (34%)."
    )


def test_a_customer_who_hardly_comes_back_has_no_date_at_all() -> None:
    second = describe_next_purchase(next_purchase([0.0, 0.01, 0.02, 0.02, 0.03], NOW)).splitlines()[1]
    assert second == (
        "There is no earliest, no median and no latest date: the chance stays below 10% within 90 days, the longest "
        "time that the model predicts (3%)."
    )
