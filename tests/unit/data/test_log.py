"""The log in its file: sorted, sliced, and merged from several logs."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from state.domain.history import CustomerHistory, add_invoice, canonical_json
from state.domain.identities import Erasure, Identities, Pseudonyms, Resolver
from state.events.invoice import Invoice, Line
from training.data import invoice_file
from training.data.invoice_file import encode_invoices
from training.data.log import invoices_before, join_parts, merge_logs, resolve_encoded


def line(code: str, quantity: int = 1000, text: str | None = None, line_id: str | None = None) -> Line:
    return Line(code, quantity, 1.5, text, line_id)


def test_the_same_invoice_in_file_and_topic_counts_once() -> None:
    table = [Invoice("1", "ann", 100, (line("a", text="APPLE"), line("b")), {"country": "France"})]
    topic = [Invoice("1", "ann", 100, (line("b", text="BEAN"),)), Invoice("1", "ann", 100, (line("a"),))]
    (merged,) = merge_logs(table, topic)
    assert merged == Invoice("1", "ann", 100, (line("a", text="APPLE"), line("b", text="BEAN")), {"country": "France"})


def test_the_last_description_and_the_last_attributes_of_a_line_are_used() -> None:
    fruit, red = {"category": "fruit"}, {"category": "red fruit"}
    parts = [
        Invoice("1", "ann", 1, (replace(line("a", text="APPLE"), attributes=fruit), line("b", text="BEAN"))),
        Invoice("1", "ann", 1, (replace(line("a", text="RED APPLE"), attributes=red), line("b"))),
        Invoice("1", "ann", 1, (line("a"),)),
    ]

    (merged,) = merge_logs(parts)

    assert [(each.description, each.attributes) for each in merged.lines] == [("RED APPLE", red), ("BEAN", {})]


def test_an_invoice_has_the_attributes_of_all_its_parts() -> None:
    parts = [
        Invoice("1", "ann", 1, (line("a"),), {"country": "France"}),
        Invoice("1", "ann", 1, (line("b"),), {"gender": "F"}),
    ]

    (merged,) = merge_logs(parts)

    assert merged.attributes == {"country": "France", "gender": "F"}


def test_parts_of_an_invoice_are_joined_at_the_earliest_date() -> None:
    (merged,) = merge_logs([Invoice("1", "ann", 100, (line("a"),))], [Invoice("1", "ann", 90, (line("c"),))])
    assert merged.date == 90
    assert [each.stock_code for each in merged.lines] == ["a", "c"]


def test_two_contents_of_a_line_are_resolved_as_in_a_history() -> None:
    parts = [
        Invoice("1", "ann", 1, (line("a", 2000, line_id="x"),)),
        Invoice("1", "ann", 1, (line("a", 1000, line_id="x"),)),
    ]
    for order in (parts, parts[::-1]):
        (merged,) = merge_logs(order)
        assert [each.quantity for each in merged.lines] == [1000]


def test_anonymous_and_empty_invoices_are_left_out_and_customers_are_separate() -> None:
    log = [
        Invoice("2", "bob", 5, (line("a"),)),
        Invoice("2", "ann", 5, (line("a"),)),
        Invoice("1", "ann", 7, (line("a"),)),
        Invoice("3", None, 1, (line("a"),)),
        Invoice("4", "ann", 1, ()),
    ]
    assert [(each.invoice_no, each.customer_id) for each in merge_logs(log)] == [
        ("2", "ann"),
        ("2", "bob"),
        ("1", "ann"),
    ]


EVENTS = st.lists(
    st.builds(
        Invoice,
        st.sampled_from(["1", "2"]),
        st.sampled_from(["ann", "bob"]),
        st.integers(0, 3),
        st.lists(
            st.builds(
                Line,
                st.sampled_from("ab"),
                st.sampled_from([-1000, 1000, 2000]),
                st.just(1.0),
                st.none(),
                st.sampled_from([None, "x"]),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
    ),
    max_size=8,
)


@given(events=EVENTS, cut=st.integers(0, 8))
def test_a_merged_log_makes_the_same_histories_as_its_events(events: list[Invoice], cut: int) -> None:
    def histories(log: Sequence[Invoice]) -> dict[str, bytes | None]:
        held: dict[str, CustomerHistory] = {}
        for invoice in log:
            customer = str(invoice.customer_id)
            held[customer] = add_invoice(held.get(customer, CustomerHistory(customer)), invoice, 100).history
        return {customer: canonical_json(history) for customer, history in held.items()}

    assert histories(merge_logs(events[:cut], events[cut:], events)) == histories(events)


@given(events=EVENTS)
def test_a_log_behaves_like_a_list(events: list[Invoice]) -> None:
    log = merge_logs(events)
    listed = list(log)

    assert len(log) == len(listed)
    assert listed == sorted(listed, key=lambda each: (each.date, each.invoice_no, each.customer_id))
    assert [log[place] for place in range(-len(log), len(log))] == listed * 2
    assert list(log[1:][:-1]) == listed[1:][:-1]
    assert list(log[::-1]) == listed[::-1]


@given(events=EVENTS, date=st.integers(-1, 4))
def test_a_log_is_cut_at_a_date(events: list[Invoice], date: int) -> None:
    log = merge_logs(events)
    assert (
        list(invoices_before(log, date))
        == invoices_before(list(log), date)
        == [each for each in log if each.date < date]
    )


@given(events=EVENTS, collide=st.booleans())
def test_a_log_is_the_sorted_invoices_joined_by_customer_and_number(events: list[Invoice], collide: bool) -> None:
    parts: dict[tuple[str, str], list[Invoice]] = {}
    for event in events:
        parts.setdefault((str(event.customer_id), event.invoice_no), []).append(event)
    joined = [each[0] if len(each) == 1 else join_parts(each) for each in parts.values()]
    expected = sorted(joined, key=lambda each: (each.date, each.invoice_no, str(each.customer_id)))

    with pytest.MonkeyPatch.context() as patch:
        if collide:  # two invoices may have one hash
            patch.setattr(invoice_file, "hash_array", lambda keys, **_: np.zeros(len(keys), np.uint64))
        patch.setattr(invoice_file, "_JOINED_AT_ONCE", 2)
        assert list(merge_logs(events)) == expected


def test_dates_before_1970_and_codes_of_any_script_are_sorted() -> None:
    numbers = ["", "10", "9", "Ä", "a\0b", "a", "é", "猫", "😀", "\uffff"]
    log = [Invoice(number, "ann", date, (line("a"),)) for number in numbers for date in (-5,)]
    log += [Invoice("late", customer, 7, (line("a"),)) for customer in ("b", "B", "ß", "a\0")]
    assert list(merge_logs(reversed(log))) == sorted(
        log, key=lambda each: (each.date, each.invoice_no, each.customer_id)
    )


@given(events=EVENTS)
def test_merges_and_erasures_change_encoded_invoices_as_they_change_plain_ones(events: list[Invoice]) -> None:
    pseudonyms = Pseudonyms("k" * 32)
    for known in (
        Identities(),
        Identities({"ann": "bob"}),
        Identities({"ann": "eve"}, {pseudonyms.of("eve"): Erasure(2, 2)}, pseudonyms),
        Identities({}, {pseudonyms.of("bob"): Erasure(9)}, pseudonyms),
    ):
        plain, encoded = Resolver(known), Resolver(known)
        expected = sorted(plain(events), key=repr)
        found = [each for part in resolve_encoded(encode_invoices(events), encoded) for each in part.decode()]
        assert sorted(found, key=repr) == expected
        assert encoded.erased == plain.erased
