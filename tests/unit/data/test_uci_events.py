"""Detection of UCI's invoices on the wire, where no header names the columns."""

import pytest

from state.events.invoice import THOUSAND, Invoice, Line
from training.data.tables.detection import are_uci


def invoice(number: str, *codes: str, quantity: int = THOUSAND) -> Invoice:
    return Invoice(number, "7", 0, tuple(Line(code, quantity, 1.0) for code in codes))


GOODS = [invoice(str(536365 + number), "22613", "85123A", "22138") for number in range(5)]


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ([], False),  # products of five digits alone are any shop's
        ([invoice("1", "POST")], True),
        ([invoice("1", "dot")], True),
        ([invoice("C536379", "22613", quantity=-THOUSAND)], True),
        ([invoice("C536379", "22613")], False),  # a sale under such a number is no cancellation
        ([invoice("C1", "22613", quantity=-THOUSAND)], False),
        ([invoice("1", "POST", "mug", "cup", "jug")], False),  # most codes must be UCI's
    ],
)
def test_events_are_ucis_by_cancellations_or_codes_among_products_of_five_digits(
    others: list[Invoice], found: bool
) -> None:
    assert are_uci([*GOODS, *others]) is found


def test_no_events_are_nobodys() -> None:
    assert not are_uci([])
