"""From events to recommendations: what is no product by the dialect is never recommended."""

import logging

import pytest

from state.store.protocol import Store
from stream.pipeline.product_share import MIN_LINES
from tests.unit.stream.harness import ProcessorHarness, invoice

UCI_CODES = ("POST", "DOT", "M", "C2", "D", "BANK CHARGES", "post")
SHOP_CODES = ("Postage", "POST-EU", "VOUCHER", "fee")


def stored_codes(store: Store) -> set[str]:
    """Stock codes in the histories, and those of the items."""
    held = {line.stock_code for history in store.histories() for one in history.invoices for line in one.lines}
    assert held == set(store.items().states)
    return held


@pytest.mark.parametrize(
    ("dialect", "unsellable", "codes"),
    [("uci", "", UCI_CODES), ("plain", "POST*, VOUCHER,FEE", SHOP_CODES)],
    ids=["the dialect's", "declared ones"],
)
def test_codes_that_cannot_be_sold_are_neither_stored_nor_recommended(
    dialect: str, unsellable: str, codes: tuple[str, ...]
) -> None:
    stream = ProcessorHarness(dialect=dialect, unsellable_codes=unsellable)
    for number in range(1, 6):
        day = f"2011-12-0{number}T10:00:00Z"
        stream.process(*(invoice(f"{number}{who}", f"c{who}", day, f"2261{who}", *codes) for who in range(3)))
    recommended = {item["stock_code"] for answer in stream.recommendations() for item in answer["items"]}
    assert recommended == stored_codes(stream.store) == {"22610", "22611", "22612"}
    assert stream.metric("lines_total", fate="not_a_product") == 15 * len(codes)


def test_without_the_setting_the_same_codes_are_recommended() -> None:
    """The fault that the settings are for: the test above can fail."""
    stream = ProcessorHarness()
    stream.process(invoice("1", "c", "2011-12-01T10:00:00Z", "22610", "POST"))
    (answer,) = stream.recommendations()
    assert {item["stock_code"] for item in answer["items"]} == {"22610", "POST"}


def test_a_customer_who_bought_nothing_that_can_be_sold_is_not_stored() -> None:
    stream = ProcessorHarness(unsellable_codes="VOUCHER")
    stream.process(invoice("1", "c", "2011-12-01T10:00:00Z", "VOUCHER"))
    assert stored_codes(stream.store) == set()
    assert stream.recommendations() == []
    assert stream.dead_letters() == []


@pytest.mark.parametrize(("sold", "warned"), [("mug", True), ("22613", False)])
def test_a_dialect_in_which_most_codes_are_no_products_is_a_warning(
    sold: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stream = ProcessorHarness(dialect="uci")
    with caplog.at_level(logging.WARNING):
        for number in range(MIN_LINES):
            stream.process(invoice(str(number), "c", "2011-12-01T10:00:00Z", sold, "22138", f"{sold} 2"))
    found = [record.getMessage() for record in caplog.records]
    assert found == (
        [
            "134 of the first 201 lines have stock codes that are no products in the dialect uci, and are left out. "
            "Are NEXTBASKET_DIALECT and NEXTBASKET_UNSELLABLE_CODES those of this shop?"
        ]
        if warned
        else []
    )
