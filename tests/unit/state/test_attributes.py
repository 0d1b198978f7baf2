"""Attributes in events, and how they are merged into state."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import CustomerHistory, Invoice, Line, Settings, add_invoice, observe_sale
from state.domain.attributes import attribute_values, merge_attributes
from state.domain.history import HeldInvoice
from state.events.attributes import (
    MAX_KEY_CHARS,
    MAX_KEYS,
    MAX_VALUE_CHARS,
    NO_ATTRIBUTES,
    Attributes,
    combine_attributes,
)
from state.events.wire import Decoder

NOW = 1_323_435_000  # 2011-12-09T12:50:00Z


def decode(**changes: Any) -> Invoice:
    line = {"stock_code": "22613", "quantity": 12, "unit_price": 0.85, "attributes": changes.pop("of_item", None)}
    event = {"invoice_no": "1", "customer_id": "12680", "invoice_date": "2011-12-09T12:50:00Z", "lines": [line]}
    return Decoder(Settings()).decode(json.dumps(event | changes).encode(), now=NOW)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  Bel  Air ", "Bel Air"),
        ("RÃ©union", "Réunion"),
        (12, "12"),
        (12.0, "12"),
        (-0.0, "0"),
        (0.85, "0.85"),
        (1e300, "1e300"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        (False, "false"),
        ("x" * MAX_VALUE_CHARS, "x" * MAX_VALUE_CHARS),
    ],
)
def test_values_become_text_in_one_form(value: object, text: str) -> None:
    assert decode(of_item={"key": value}).lines[0].attributes == {"key": text}


@pytest.mark.parametrize("value", [None, [], ["a"], {}, {"a": "b"}, "", " \n", "x" * (MAX_VALUE_CHARS + 1)])
def test_an_invalid_value_is_ignored(value: object) -> None:
    attributes = {"age": 40, "odd": value}
    invoice = decode(attributes=attributes, of_item=attributes)
    assert invoice.attributes == invoice.lines[0].attributes == {"age": "40"}


def test_a_number_beyond_a_double_is_ignored_and_other_keys_are_read() -> None:
    raw = (
        b'{"InvoiceNo": 1, "StockCode": "A", "Quantity": 1, "InvoiceDate": "12/9/2011 12:50", "UnitPrice": 1,'
        b' "attributes": {"size": 1e400, "digits": ' + b"9" * 5_000 + b', "colour": "red"}}'
    )
    assert Decoder(Settings()).decode(raw, now=NOW).lines[0].attributes == {"colour": "red"}


def test_keys_are_bounded() -> None:
    attributes = {"": 1, "k" * MAX_KEY_CHARS: 2, "k" * (MAX_KEY_CHARS + 1): 3, " city ": 4}
    assert decode(attributes=attributes).attributes == {"k" * MAX_KEY_CHARS: "2", "city": "4"}
    many = {f"{number:03}": number for number in range(MAX_KEYS + 5, 0, -1)}
    keys = list(decode(of_item=many).lines[0].attributes)
    assert keys == [f"{number:03}" for number in range(1, MAX_KEYS + 1)]


def test_a_customer_has_attributes_in_three_fields() -> None:
    invoice = decode(
        country="France",
        customer={"id": "7", "name": "Ann", "attributes": {"country": "Spain", "city": "Nice", "age": 40}},
        attributes={"country": "Italy", "city": "Rome", "gender": "F"},
    )
    assert invoice.attributes == {"age": "40", "city": "Nice", "country": "France", "gender": "F"}
    assert invoice.customer_id == "12680"
    assert decode(customer={"attributes": {"age": 40}}).attributes == {"age": "40"}


def test_a_single_line_has_attributes_of_its_item_and_of_its_customer() -> None:
    event = {
        "InvoiceNo": "1",
        "StockCode": "22613",
        "Quantity": 1,
        "InvoiceDate": "12/9/2011 12:50",
        "UnitPrice": 1,
        "CustomerID": 12680,
        "Country": "France",
        "attributes": {"category": "Books"},
        "customer": {"attributes": {"gender": "F"}},
    }
    invoice = Decoder(Settings()).decode(json.dumps(event).encode(), now=NOW)
    assert invoice.attributes == {"country": "France", "gender": "F"}
    assert invoice.lines[0].attributes == {"category": "Books"}


def test_events_with_equal_attributes_share_one_mapping() -> None:
    decoder = Decoder(Settings())
    raws = [
        json.dumps(
            {
                "invoice_no": number,
                "invoice_date": "2011-12-09T12:50:00Z",
                "country": "France",
                "lines": [{"stock_code": "A", "quantity": 1, "unit_price": 1, "attributes": {"category": "Books"}}],
            }
        ).encode()
        for number in (1, 2)
    ]
    one, other = (decoder.decode(raw, now=NOW) for raw in raws)
    assert one.attributes is other.attributes
    assert one.lines[0].attributes is other.lines[0].attributes
    assert Line("A", 1, 1.0).attributes is Line("B", 1, 1.0).attributes is NO_ATTRIBUTES


KEYS = st.sampled_from(["age", "city", "z", "é", "\U0001f600", *(f"k{number:02}" for number in range(MAX_KEYS))])
EVENTS = st.tuples(
    st.dictionaries(KEYS, st.sampled_from(["1", "10", "2", "é", "\uffff", "\U0001f600"])), st.integers(-2, 2)
)


@settings(derandomize=True, deadline=None)
@given(data=st.data())
def test_any_order_and_repetition_gives_the_same_attributes(data: st.DataObject) -> None:
    events = data.draw(st.lists(EVENTS, max_size=6))
    again = (
        data.draw(st.permutations([*events, *data.draw(st.lists(st.sampled_from(events), max_size=3))]))
        if events
        else []
    )

    def merged(arrivals: list[tuple[dict[str, str], int]]) -> dict[str, tuple[int, str]]:
        dated: Any = {}
        for attributes, date in arrivals:
            dated = merge_attributes(dated, attributes, date)
        return dict(dated)

    greatest: dict[str, tuple[int, str]] = {}
    for attributes, date in events:
        for key, value in attributes.items():
            greatest[key] = max(greatest.get(key, (date, value)), (date, value))
    expected = {key: greatest[key] for key in sorted(greatest)[:MAX_KEYS]}
    assert merged(events) == merged(again) == expected
    assert list(merged(again)) == list(expected)
    assert attribute_values(merged(events)) == {key: value for key, (_, value) in expected.items()}


def test_a_merge_without_a_change_returns_the_same_object() -> None:
    full = merge_attributes({}, {f"{number:03}": "1" for number in range(MAX_KEYS)}, 5)
    for attributes, date in (({}, 9), ({"000": "1"}, 5), ({"000": "9"}, 4), ({"z": "1"}, 9)):
        assert merge_attributes(full, attributes, date) is full
    assert merge_attributes(full, {"000": "1"}, 6) is not full  # a later date: values between must lose


def test_combined_attributes_stay_within_the_bounds() -> None:
    many: Attributes = {f"{number:03}": "1" for number in range(MAX_KEYS)}
    assert combine_attributes(many, {"000": "2", "zzz": "3"}) == {**many, "000": "2"}
    assert combine_attributes(many, NO_ATTRIBUTES) is combine_attributes(NO_ATTRIBUTES, many) is many


def bought(number: str, date: int, attributes: Attributes) -> Invoice:
    return Invoice(number, "ann", date, (Line("A", 1_000, 1.0),), attributes)


def test_the_window_does_not_limit_attributes() -> None:
    first, late = bought("1", 10, {"city": "Rome", "gender": "F"}), bought("0", 5, {"city": "Nice", "age": "40"})
    history = add_invoice(CustomerHistory("ann"), first, 1).history
    history = add_invoice(history, bought("2", 20, {"city": "Paris"}), 1).history
    behind = add_invoice(history, late, 1)
    assert (behind.behind_watermark, behind.demand_changes, behind.history.invoices) == (True, [], history.invoices)
    assert behind.history.attributes == {"age": "40", "city": "Paris", "gender": "F"}
    assert add_invoice(behind.history, late, 1).history is behind.history
    assert add_invoice(behind.history, bought("2", 20, {"city": "Paris"}), 1).history is behind.history


def test_an_event_with_only_a_new_attribute_changes_a_history() -> None:
    history = add_invoice(CustomerHistory("ann"), bought("1", 10, {}), 100).history
    added = add_invoice(history, bought("1", 10, {"city": "Rome"}), 100)
    assert (added.new_lines, added.known_lines, added.demand_changes) == ([], 1, [])
    assert added.history.invoices == history.invoices == (HeldInvoice("1", 10, history.invoices[0].lines),)
    assert added.history.attributes == {"city": "Rome"}


def test_an_item_has_the_attributes_of_its_newest_sale() -> None:
    state = observe_sale(None, "A", 10, 1.0, "TEA", {"category": "Drinks"})
    state = observe_sale(state, "A", 5, 1.0, "TEA", {"category": "Food", "shelf": "4"})
    assert state.attributes == {"category": "Drinks", "shelf": "4"}
    assert observe_sale(state, "A", 10, 1.0, "TEA", {"category": "Drinks"}) is state
    assert observe_sale(state, "A", 10, 1.0, "TEA") is state
