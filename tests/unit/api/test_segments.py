"""What sells to customers with an attribute."""

import math
import time

import pytest

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.errors import StoreUnavailable
from state.events.dates import DAY
from stream.api.segments import (
    NO_SEGMENTS,
    PRIOR_BASKETS,
    SegmentSampler,
    rank_for_segments,
    segment_demand,
)
from tests.unit.api.shop import Shop
from tests.unit.stream.harness import invoice
from training.serving.scorer import Candidate

NOW = 1_000 * DAY


def history(customer: str, country: str, *codes: str, date: int = NOW) -> CustomerHistory:
    lines = tuple(HeldLine(code, 1_000, 1.0) for code in codes)
    return CustomerHistory(customer, (HeldInvoice("1", date, lines),), None, {"country": (date, country)})


HISTORIES = [
    *(history(f"f{number}", "France", "WINE") for number in range(30)),
    *(history(f"u{number}", "UK", "TEA") for number in range(60)),
]


def test_the_lift_is_the_share_in_the_segment_against_that_of_all() -> None:
    demand = segment_demand(HISTORIES, NOW)
    share = 30 / 90
    expected = math.log((30 + PRIOR_BASKETS * share) / (30 + PRIOR_BASKETS) / share)
    assert demand.log_lift("WINE", {"country": "France"}) == pytest.approx(expected)
    assert demand.log_lift("TEA", {"country": "France"}) < 0 < demand.log_lift("TEA", {"country": "UK"})
    assert demand.log_lift("WINE", {"country": "Peru"}) == 0.0
    assert demand.log_lift("PEN", {"country": "France"}) == 0.0
    assert demand.known({"country": "France", "age": "4"}) == {"country": "France"}


def test_an_old_basket_counts_less_and_a_return_not_at_all() -> None:
    returned = CustomerHistory(
        "r", (HeldInvoice("1", NOW, (HeldLine("TEA", -1_000, 1.0),)),), None, {"country": (NOW, "France")}
    )
    demand = segment_demand([history("a", "France", "WINE", date=NOW - 30 * DAY), returned], NOW)
    assert demand.all_items == {"WINE": pytest.approx(0.5)}


def test_the_order_is_by_probability_times_lift_and_that_of_equals_stays() -> None:
    demand = segment_demand(HISTORIES, NOW)
    candidates = [Candidate("TEA", 0.3), Candidate("WINE", 0.2), Candidate("PEN", 0.1), Candidate("INK", 0.1)]
    ranked = rank_for_segments(candidates, {"country": "France"}, demand)
    assert [each.stock_code for each in ranked] == ["WINE", "TEA", "PEN", "INK"]
    assert [round(each.probability, 3) for each in ranked] == [0.44, 0.12, 0.1, 0.1]
    assert rank_for_segments(candidates, {"country": "France"}, NO_SEGMENTS) == candidates


async def test_a_visitor_of_a_country_sees_what_sells_there_and_a_customer_their_own_list() -> None:
    shop = Shop()
    shop.apply(*[invoice(f"w{number}", f"w{number}", "2011-12-09T10:00:00Z", "WINE") for number in range(3)])
    shop.segments = segment_demand(
        [
            *(history(f"m{number}", "France", "MAT") for number in range(60)),
            *(history(f"w{number}", "UK", "WINE") for number in range(200)),
        ],
        NOW,
    )

    async with shop.client() as client:

        async def first(path: str) -> str:
            answer = (await client.get(path)).json()
            return str(answer["items"][0]["stock_code"])

        assert await first("/v1/recommendations") == "WINE"
        assert await first("/v1/recommendations?country=France") == "MAT"
        assert await first("/v1/recommendations?attribute=country:France") == "MAT"
        assert await first("/v1/recommendations?country=Peru") == "WINE"
        assert await first("/v1/customers/nobody/recommendations?country=France") == "MAT"
        assert await first("/v1/customers/anna/recommendations?country=France") == "TEA"


def test_the_sampler_reads_the_store_and_survives_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.api.segments.RETRY_S", 0.01)
    shop = Shop()
    shop.apply(invoice("9", "dora", "2011-12-08T10:00:00Z", "WINE", country="France"))
    outages = 2

    def open_store() -> object:
        nonlocal outages
        outages -= 1
        if outages >= 0:
            raise StoreUnavailable("Redis does not answer")
        return shop.store

    sampler = SegmentSampler(open_store)  # type: ignore[arg-type]  # a store in memory
    sampler.start()
    deadline = time.monotonic() + 10
    while sampler.demand is NO_SEGMENTS and time.monotonic() < deadline:
        time.sleep(0.01)
    sampler.stop()
    assert sampler.demand.items[("country", "France")].keys() == {"WINE"}
    assert sampler.demand.all_items.keys() == {"TEA", "CUP", "LAMP", "MAT", "WINE"}
