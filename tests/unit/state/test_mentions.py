"""Which customers the bytes of an event name."""

import pytest

from state.events.mentions import customers_in, mentions


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'{"customer_id": " 12680.0 ", "lines": []}', {"12680"}),
        (b'{"InvoiceNo": "12680", "CustomerID": 12680.0}', {"12680"}),
        (b'{"type": "customer.merged", "customer_id": "a", "into": "b"}', {"a", "b"}),
        (b'[{"deep": [{"customer_id": "a"}]}, {"customer": {"attributes": {"city": "a"}}}]', {"a"}),
        (b'{"customer_id": null, "other": "12680"}', set()),
        (b'{"customer_id": true}', set()),
        (b"no JSON 12680", set()),
        (b"", set()),
        (None, set()),
    ],
)
def test_customers_are_found_by_the_names_of_fields(value: bytes | None, found: set[str]) -> None:
    assert customers_in(value) == found


def test_the_key_of_a_record_is_a_customer() -> None:
    assert customers_in(b"no JSON", b"12680") == {"12680"}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"CSV;12680;1.5", True),
        (b"CSV;126801;1.5", False),
        (b'{"customer_id": 12680}', True),
        (b'{"quantity": 12680}', False),
        (b'{"customer_id": "12680', True),
        (b"\xff12680\xff", True),
        (None, False),
    ],
)
def test_bytes_that_are_no_json_name_a_customer_by_a_word(value: bytes | None, named: bool) -> None:
    assert mentions(value, "12680") is named
