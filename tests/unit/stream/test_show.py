"""What ``nextbasket show`` writes about the next purchase, the reasons and the model."""

import io

from rich.console import Console

from state.domain.recommendation import Item, ModelVersion, NextPurchase, Reason
from stream.commands.show import describe_model, recommended_table
from stream.pipeline.recommendations import next_purchase
from stream.tools.explanations import describe_next_purchase
from training.serving.load import fallback_scorer

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


def test_the_day_of_a_reason_is_whole_on_a_narrow_terminal() -> None:
    reason = Reason("bought_before", {"times": 2, "last": "2016-04-21T17:11:00Z"})
    item = Item("20186B", "YELLOW PAISLEY FELT PAPER PLATES", 0.565, "replenish", reason)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(recommended_table([item]))
    assert "2016-04-21)" in console.export_text()
    assert "…" not in console.export_text()


def test_the_fallback_is_not_named_as_a_version() -> None:
    scorer = fallback_scorer()
    assert describe_model(ModelVersion(scorer.name, scorer.version)) == "count_demand (no model is promoted)"
    assert describe_model(ModelVersion("basket_lstm", "2011-12-09")) == "basket_lstm 2011-12-09"
