"""Merged and erased customers: aliases, erasures, receipts, and histories that become one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state import CustomerHistory, Invoice, Line, add_invoice
from state.domain.identities import Erasure, Identities, MergeRefused, Pseudonyms
from state.domain.merge import held_events, merge_histories
from state.domain.receipt import Finding, Receipt, concerns, is_genuine, sign
from tests.contract.events import arrivals, invoice_parts

PSEUDONYMS = Pseudonyms("k" * 32)
NAMES = ["a", "b", "c", "d", "e"]


def invoice(customer: str, date: int = 100) -> Invoice:
    return Invoice("1", customer, date, (Line("A", 1000, 1.0),))


def merged(pairs: list[tuple[str, str]]) -> Identities:
    aliases: dict[str, str] = {}
    for old, new in pairs:
        known = Identities(dict(aliases))
        try:
            pair = known.merge(old, new)
        except MergeRefused:
            continue
        if pair is not None:
            aliases[pair[0]] = pair[1]
    return Identities(aliases)


def test_an_invoice_of_a_merged_customer_goes_to_the_end_of_the_chain() -> None:
    known = merged([("a", "b"), ("b", "c")])
    resolved = known.resolve(invoice("a"))
    assert resolved is not None
    assert resolved.customer_id == "c"
    assert known.merged_into("c") == ["a", "b"]


def test_a_cycle_is_refused_and_a_repetition_changes_nothing() -> None:
    known = merged([("a", "b")])
    assert known.merge("a", "b") is None
    with pytest.raises(MergeRefused, match="cycle"):
        known.merge("b", "a")
    with pytest.raises(MergeRefused, match="same id"):
        known.merge("a", "a")


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=8))
def test_merges_never_make_a_cycle_and_join_exactly_those_who_are_one_person(pairs: list[tuple[str, str]]) -> None:
    known = merged(pairs)
    groups = {name: {name} for name in NAMES}
    for old, new in pairs:
        joined = groups[old] | groups[new]
        for each in joined:
            groups[each] = joined
    for name in NAMES:
        assert known.current(known.current(name)) == known.current(name)
        assert {each for each in NAMES if known.current(each) == known.current(name)} == groups[name]


def test_invoices_of_an_erased_customer_are_passed_over_until_the_customer_returns() -> None:
    erasure = Erasure(erased=50)
    known = Identities(erasures={PSEUDONYMS.of("a"): erasure}, pseudonyms=PSEUDONYMS)
    assert known.resolve(invoice("a")) is None
    assert known.resolve(invoice("b")) == invoice("b")
    returned = Identities(
        erasures={PSEUDONYMS.of("a"): msgspec.structs.replace(erasure, returned=100)}, pseudonyms=PSEUDONYMS
    )
    assert returned.resolve(invoice("a", 99)) is None
    assert returned.resolve(invoice("a", 100)) == invoice("a", 100)


def test_a_pseudonym_needs_the_key() -> None:
    assert PSEUDONYMS.of("a") == Pseudonyms("k" * 32).of("a")
    assert PSEUDONYMS.of("a") != Pseudonyms("l" * 32).of("a")
    assert PSEUDONYMS.fingerprint != Pseudonyms("l" * 32).fingerprint


def test_a_receipt_is_genuine_until_it_is_changed() -> None:
    receipt = sign(
        Receipt(PSEUDONYMS.of("a"), 1, "2011-12-09T12:50:00Z", (Finding("histories in Redis", 1, 1),)), PSEUDONYMS
    )
    again = msgspec.json.decode(msgspec.json.encode(receipt), type=Receipt)
    assert is_genuine(again, PSEUDONYMS)
    assert not is_genuine(msgspec.structs.replace(again, ids=2), PSEUDONYMS)
    assert not is_genuine(again, Pseudonyms("l" * 32))
    assert concerns(again, ["x", "a"], PSEUDONYMS)
    assert not concerns(again, ["x"], PSEUDONYMS)


def one_date_a_number(events: list[Invoice]) -> list[Invoice]:
    """The events with one date for all parts of an invoice, whichever id they have."""
    dates: dict[str, int] = {}
    return [msgspec.structs.replace(event, date=dates.setdefault(event.invoice_no, event.date)) for event in events]


@given(
    st.data(),
    invoice_parts(customers=("old", "new")).map(one_date_a_number),
    st.sampled_from([1, 2, 3, 100]),
    st.booleans(),
)
def test_merged_histories_are_those_of_one_customer_whenever_the_merge_comes(
    data: st.DataObject, events: list[Invoice], window: int, again: bool
) -> None:
    arriving: list[Invoice | None] = list(data.draw(arrivals(events)))
    for _ in range(1 + again):
        arriving.insert(data.draw(st.integers(0, len(arriving))), None)  # the merge
    histories = {name: CustomerHistory(name) for name in ("old", "new")}
    is_merged = False
    for event in arriving:
        if event is None:
            is_merged = True
            histories["new"] = merge_histories(histories["old"], histories["new"], window)
            histories["old"] = CustomerHistory("old")
        else:
            name = "new" if is_merged else str(event.customer_id)
            histories[name] = add_invoice(histories[name], event, window).history
    whole = CustomerHistory("new")
    for event in arriving:
        if event is not None:
            whole = add_invoice(whole, event, window).history
    assert histories["new"].invoices == whole.invoices
    assert histories["new"].dated_attributes == whole.dated_attributes
    assert histories["new"].watermark == whole.watermark
    assert histories["old"].invoices == ()


def test_the_events_of_a_history_carry_its_attributes_with_their_dates() -> None:
    old = CustomerHistory("old")
    for number, date, value in (("1", 10, "France"), ("2", 20, "Spain")):
        event = Invoice(number, "old", date, (Line("A", 1000, 1.0),), {"country": value})
        old = add_invoice(old, event, 100).history
    new = CustomerHistory("new")
    for event in held_events(old, "new"):
        new = add_invoice(new, event, 100).history
    assert new.invoices == old.invoices
    assert new.dated_attributes == old.dated_attributes


def test_an_attribute_older_than_the_window_is_carried_unless_the_other_customer_has_a_newer_value() -> None:
    old = CustomerHistory("old")
    for number, date in (("1", 10), ("2", 20)):
        event = Invoice(number, "old", date, (Line("A", 1000, 1.0),), {"birth": "1973"} if number == "1" else {})
        old = add_invoice(old, event, 1).history
    assert [each.invoice_no for each in old.invoices] == ["2"]

    def merged_value(known: dict[str, tuple[int, str]]) -> str:
        new = CustomerHistory("new", dated_attributes=known)
        for event in held_events(old, "new", known):
            new = add_invoice(new, event, 1).history
        return new.attributes["birth"]

    assert merged_value({}) == "1973"
    assert merged_value({"birth": (9, "1900")}) == "1973"
    assert merged_value({"birth": (11, "1974")}) == "1974"
