"""The cache of histories behaves like a dictionary, whatever its capacity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.domain.history import CustomerHistory, add_invoice
from state.events.invoice import Invoice, Line
from training.data.history_cache import HistoryCache

EVENTS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 9), st.sampled_from("xyz")), max_size=30)


@given(events=EVENTS, most=st.integers(1, 6))
def test_the_cache_behaves_like_a_dictionary(events: list[tuple[str, int, str]], most: int) -> None:
    held, plain = HistoryCache(most), dict[str, CustomerHistory]()

    for number, (customer, date, code) in enumerate(events):
        invoice = Invoice(str(number), customer, date, (Line(code, 1000, 1.5),))
        for histories in (held, plain):
            histories[customer] = add_invoice(histories.get(customer) or CustomerHistory(customer), invoice, 3).history

    assert list(held) == list(plain)
    assert len(held) == len(plain)
    assert dict(held) == plain
    assert list(held.values()) == list(plain.values())


def test_an_unknown_customer_has_no_history_and_none_can_be_deleted() -> None:
    histories = HistoryCache()
    histories["ann"] = CustomerHistory("ann")

    assert "bob" not in histories
    assert histories.get("bob") is None
    with pytest.raises(KeyError):
        histories["bob"]
    with pytest.raises(TypeError, match="only grows"):
        del histories["ann"]
