"""What every store does: one suite on the store in memory and on every kind of Redis."""

import time

import msgspec
import pytest

from state import (
    CustomerHistory,
    HeldInvoice,
    HeldLine,
    Invoice,
    Line,
    PriorRecommendation,
    Store,
    canonical_json,
    record_sale,
)
from state.store.memory import MemoryStore
from tests.contract.conftest import MakeStore
from tests.contract.events import AWKWARD, recommendation

CLOCK = 1_700_000_000_000


def line(code: str = "A", quantity: int = 1_000, price: float = 2.0, line_id: str | None = None) -> Line:
    return Line(code, quantity, price, f"ITEM {code}", line_id)


def invoice(number: str, date: int, *lines: Line, customer: str | None = "c") -> Invoice:
    return Invoice(number, customer, date, lines or (line(),))


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert store.history("c") is None
    assert store.recommendation("c") is None
    assert store.now() is None
    assert list(store.histories()) == []
    assert list(store.recommendations()) == []
    assert (store.items().states, store.items().version) == ({}, 0)
    applied = store.apply([], clock_ms=CLOCK)
    assert (applied.updates, applied.refused) == ([], [])


def test_apply_returns_the_updates_and_counts(store: Store) -> None:
    applied = store.apply([invoice("1", 100, line("A"), line("B", -2_000), line("A"))], clock_ms=CLOCK)
    assert applied.counts == {"lines_new": 2, "lines_known": 1, "lines_behind": 0}
    (update,) = applied.updates
    held = (HeldLine("A", 1_000, 2.0), HeldLine("B", -2_000, 2.0))
    assert update.history == CustomerHistory("c", (HeldInvoice("1", 100, held),))
    assert (update.revision, update.published, update.changed) == (CLOCK, 0, True)
    assert (update.last, update.priors) == (None, [])
    assert store.history("c") == update.history
    assert list(store.histories()) == [update.history]
    assert store.now() == 100


def test_a_repeated_batch_changes_nothing(store: Store) -> None:
    batch = [invoice("1", 100, line("A"), line("B")), invoice("2", 50, line("A", line_id="x"))]
    before = store.apply(batch, clock_ms=CLOCK).updates[0]
    items = store.items()
    applied = store.apply(batch, clock_ms=CLOCK + 1)
    assert applied.counts == {"lines_new": 0, "lines_known": 3, "lines_behind": 0}
    assert not applied.updates[0].changed
    assert (applied.updates[0].history, applied.updates[0].revision) == (before.history, before.revision)
    assert store.items() == items


def test_updates_are_in_order_of_first_appearance(store: Store) -> None:
    batch = [invoice(str(n), n, customer=name) for n, name in enumerate(["z", "a", "z", "m", "a"])]
    updates = store.apply(batch, clock_ms=CLOCK).updates
    assert [one.history.customer_id for one in updates] == ["z", "a", "m"]
    assert [len(one.history.invoices) for one in updates] == [2, 2, 1]


def test_a_refused_invoice_counts_for_the_order_of_updates(make_store: MakeStore) -> None:
    store = make_store(max_history_lines=1)
    too_long = invoice("1", 100, line("A"), line("B"), customer="z")
    applied = store.apply([too_long, invoice("2", 100, customer="a"), invoice("3", 100, customer="z")], clock_ms=CLOCK)
    assert [one.history.customer_id for one in applied.updates] == ["z", "a"]
    assert [index for index, _ in applied.refused] == [0]


def test_anonymous_sales_and_invoices_without_lines_are_skipped(store: Store) -> None:
    applied = store.apply([invoice("1", 100, customer=None), Invoice("2", "c", 200, ())], clock_ms=CLOCK)
    assert applied.updates == []
    assert (store.history("c"), store.now(), store.items().states) == (None, None, {})


def test_ids_may_contain_any_text(store: Store) -> None:
    ids = [AWKWARD, "{", "}", "{}", "%7B", "%", "a}b{c", "ä 😀", "items", "*", "h:{x}", "\x00", "x" * 100]
    batch = [Invoice(name, name, 7, (Line(name, 1_000, 0.1, name, name),)) for name in ids]
    applied = store.apply(batch, clock_ms=CLOCK)
    for name, update in zip(ids, applied.updates, strict=True):
        expected = CustomerHistory(name, (HeldInvoice(name, 7, (HeldLine(name, 1_000, 0.1, name),)),))
        assert update.history == expected
        assert store.history(name) == expected
        assert store.items().states[name] == record_sale(None, name, 7, 0.1, name)
    store.confirm([recommendation(update.history.customer_id, update.revision) for update in applied.updates])
    assert sorted(one.customer_id for one in store.histories()) == sorted(ids)
    assert sorted(one.customer_id for one in store.recommendations()) == sorted(ids)
    assert store.apply(batch, clock_ms=CLOCK).counts["lines_known"] == len(ids)


def test_the_lines_of_an_invoice_may_arrive_in_parts(store: Store) -> None:
    store.apply([invoice("1", 100, line("A"))], clock_ms=CLOCK)
    store.apply([invoice("2", 50, line("B"))], clock_ms=CLOCK)
    store.apply([invoice("1", 90, line("C", -500)), invoice("1", 95, line("D"))], clock_ms=CLOCK)
    history = store.history("c")
    assert history is not None
    assert [(one.invoice_no, one.date, [held.stock_code for held in one.lines]) for one in history.invoices] == [
        ("2", 50, ["B"]),
        ("1", 90, ["A", "C", "D"]),
    ]


def test_the_smaller_of_two_contents_of_one_line_id_wins(make_store: MakeStore) -> None:
    events = [invoice("1", 100, line(code, line_id="x")) for code in ("B", "A", "C", "A")]
    for order in (events, events[::-1]):
        store = make_store()
        applied = store.apply(order[:2], clock_ms=CLOCK)
        assert applied.counts["lines_new"] == 1
        store.apply(order[2:], clock_ms=CLOCK)
        history = store.history("c")
        assert history is not None
        assert history.invoices[0].lines == (HeldLine("A", 1_000, 2.0, "x"),)
        assert {code: state.sold for code, state in store.items().states.items()} == {"A": 1, "B": 0, "C": 0}


def test_the_window_and_its_watermark(make_store: MakeStore) -> None:
    store = make_store(window=3)
    store.apply([invoice(str(number), number * 10) for number in range(1, 6)], clock_ms=CLOCK)
    history = store.history("c")
    assert history is not None
    assert [one.invoice_no for one in history.invoices] == ["3", "4", "5"]
    assert history.watermark == (20, "2")
    items = store.items()
    late = [invoice("1", 10, line("Z")), invoice("2", 20, line("Z")), invoice("0", 20, line("Z"), line("Y"))]
    applied = store.apply(late, clock_ms=CLOCK + 9)
    assert applied.counts == {"lines_new": 0, "lines_known": 0, "lines_behind": 4}
    assert not applied.updates[0].changed
    assert (store.history("c"), store.items()) == (history, items)
    # Inside the window a line is taken however late it comes, even with a date behind the watermark.
    assert store.apply([invoice("3", 1, line("Z"))], clock_ms=CLOCK).counts["lines_new"] == 1
    # Between watermark and window: it falls out again at once, and the watermark rises.
    assert store.apply([invoice("9", 20, line("Y"))], clock_ms=CLOCK).counts["lines_new"] == 1
    history = store.history("c")
    assert history is not None
    assert [one.invoice_no for one in history.invoices] == ["9", "4", "5"]
    assert history.watermark == (20, "2")


def test_a_smaller_window_applies_from_the_next_change(make_store: MakeStore) -> None:
    store = make_store(window=2)
    batch = [invoice(str(number), number) for number in range(5)]
    store.apply(batch, clock_ms=CLOCK)
    history = store.history("c")
    assert history is not None
    assert [one.invoice_no for one in history.invoices] == ["3", "4"]


def test_an_invoice_beyond_the_bound_is_refused_as_a_whole(make_store: MakeStore) -> None:
    store = make_store(max_history_lines=4, window=2)
    batch = [
        invoice("1", 10, line("A"), line("B"), line("C")),
        invoice("2", 20, line("D"), line("E"), line("D")),  # one too many
        invoice("2", 20, line("D")),
        invoice("1", 5, line("A"), line("B")),  # brings an earlier date and no new line
        invoice("3", 30, line("F"), line("G"), line("H")),  # the oldest invoice makes room
        invoice("4", 40, *(line(str(code)) for code in range(5)), customer="other"),
    ]
    applied = store.apply(batch, clock_ms=CLOCK)
    assert [index for index, _ in applied.refused] == [1, 5]
    assert applied.refused[0][1] == (
        "The history of customer c would hold more than 4 lines; NEXTBASKET_MAX_HISTORY_LINES is the bound."
    )
    assert [one.history.customer_id for one in applied.updates] == ["c"]
    history = store.history("c")
    assert history is not None
    assert [(one.invoice_no, len(one.lines)) for one in history.invoices] == [("2", 1), ("3", 3)]
    assert store.history("other") is None
    assert applied.counts == {"lines_new": 7, "lines_known": 2, "lines_behind": 0}
    assert store.now() == 30
    assert {code: state.sold for code, state in store.items().states.items()} == dict.fromkeys("ABCDFGH", 1)
    # What fell out no longer counts: "2" makes room again.
    assert store.apply([invoice("5", 50, line("A"))], clock_ms=CLOCK).refused == []
    assert [index for index, _ in store.apply([invoice("5", 50, line("B"))], clock_ms=CLOCK).refused] == [0]


def test_revisions_rise_with_every_change_and_with_the_clock(store: Store) -> None:
    revisions = []
    for number, clock in enumerate([CLOCK, CLOCK, CLOCK - 10, CLOCK + 50]):
        revisions.append(store.apply([invoice(str(number), number)], clock_ms=clock).updates[0].revision)
    assert revisions == [CLOCK, CLOCK + 1, CLOCK + 2, CLOCK + 50]


def test_a_confirmed_recommendation_is_saved_unchanged(store: Store) -> None:
    revision = store.apply([invoice("1", 100)], clock_ms=CLOCK).updates[0].revision
    sent = recommendation("c", revision, "A", AWKWARD)
    store.confirm([sent])
    assert store.recommendation("c") == sent
    assert list(store.recommendations()) == [sent]
    update = store.apply([invoice("1", 100)], clock_ms=CLOCK).updates[0]
    assert (update.published, update.last) == (revision, sent)


def test_a_lower_revision_is_ignored(store: Store) -> None:
    store.apply([invoice("1", 100)], clock_ms=CLOCK)
    store.confirm([recommendation("c", CLOCK + 5, "A")])
    store.confirm([recommendation("c", CLOCK + 4, "B")])
    store.confirm([], [("c", CLOCK + 3)])
    update = store.apply([invoice("1", 100)], clock_ms=CLOCK).updates[0]
    assert (update.published, update.last) == (CLOCK + 5, recommendation("c", CLOCK + 5, "A"))
    store.confirm([recommendation("c", CLOCK + 5, "C")])  # the same message once more
    assert store.recommendation("c") == recommendation("c", CLOCK + 5, "C")


def test_an_unchanged_recommendation_raises_published(store: Store) -> None:
    store.apply([invoice("1", 100), invoice("1", 100, customer="d")], clock_ms=CLOCK)
    store.confirm([recommendation("c", CLOCK), recommendation("d", CLOCK)])
    store.apply([invoice("2", 200)], clock_ms=CLOCK + 1)
    store.confirm([recommendation("d", CLOCK + 7, "B")], [("c", CLOCK + 1)])
    update = store.apply([invoice("2", 200)], clock_ms=CLOCK).updates[0]
    assert (update.revision, update.published, update.last) == (CLOCK + 1, CLOCK + 1, recommendation("c", CLOCK))
    assert store.recommendation("d") == recommendation("d", CLOCK + 7, "B")


def test_confirming_does_not_create_an_unknown_customer(store: Store) -> None:
    store.confirm([recommendation("c", CLOCK)], [("d", CLOCK)])
    assert store.recommendation("c") is None
    assert list(store.histories()) == []


def test_a_recommendation_without_items_is_stored_and_is_a_prior(store: Store) -> None:
    """The rules may allow a customer nothing."""
    store.apply([invoice("1", 100, line("A"))], clock_ms=CLOCK)
    empty = msgspec.structs.replace(recommendation("c", CLOCK), items=[])
    store.confirm([empty])
    assert store.recommendation("c") == empty
    update = store.apply([invoice("2", 200, line("A"))], clock_ms=CLOCK + 1).updates[0]
    assert update.last == empty
    assert [prior.stock_codes for prior in update.priors] == [[]]
    assert store.apply([invoice("2", 200, line("B"))], clock_ms=CLOCK + 2).updates[0].priors == update.priors


def test_the_prior_of_an_invoice_is_the_recommendation_before_its_first_line(store: Store) -> None:
    store.apply([invoice("1", 100)], clock_ms=CLOCK)
    store.confirm([recommendation("c", CLOCK, "A", "B")])
    first = PriorRecommendation("2", f"c-{CLOCK}", "basket_lstm/2011-12-09T13-00-00Z", ["A", "B"])
    assert store.apply([invoice("2", 200, line("A"))], clock_ms=CLOCK + 1).updates[0].priors == [first]
    store.confirm([recommendation("c", CLOCK + 1, "C")])
    # Later lines, repeated lines and an earlier date of the same invoice are scored against the same.
    assert store.apply([invoice("2", 200, line("B"))], clock_ms=CLOCK + 2).updates[0].priors == [first]
    assert store.apply([invoice("2", 150, line("A"))], clock_ms=CLOCK + 3).updates[0].priors == [first]
    # A return and an older invoice bring no line of it, and leave it prior.
    assert store.apply([invoice("C3", 300, line("A", -1_000))], clock_ms=CLOCK + 4).updates[0].priors == []
    assert store.apply([invoice("0", 120, line("E"))], clock_ms=CLOCK + 5).updates[0].priors == []
    assert store.apply([invoice("1", 100, line("F"))], clock_ms=CLOCK + 6).updates[0].priors == []
    assert store.apply([invoice("2", 200, line("G"))], clock_ms=CLOCK + 7).updates[0].priors == [first]
    # The next one is scored against what was confirmed last.
    newest = store.apply([invoice("4", 400), invoice("2", 200, line("H"))], clock_ms=CLOCK + 8).updates[0].priors
    assert newest == [PriorRecommendation("4", f"c-{CLOCK + 1}", "basket_lstm/2011-12-09T13-00-00Z", ["C"])]


def test_every_invoice_of_a_batch_has_its_prior(store: Store) -> None:
    store.apply([invoice("1", 100)], clock_ms=CLOCK)
    store.confirm([recommendation("c", CLOCK, "A")])

    def against(*invoices: Invoice) -> list[tuple[str, str]]:
        priors = store.apply(list(invoices), clock_ms=CLOCK + 1).updates[0].priors
        return [(prior.invoice_no, prior.rec_id) for prior in priors]

    before = f"c-{CLOCK}"
    batch = [invoice("3", 300), invoice("2", 200), invoice("0", 50), invoice("C4", 400, line("A", -1_000))]
    assert against(*batch) == [("2", before), ("3", before)]
    # Delivered again, after a crash perhaps, they are scored again; and so is a late line of one of them alone.
    assert against(*batch) == [("2", before), ("3", before)]
    assert against(invoice("2", 200, line("B"))) == [("2", before)]
    store.confirm([recommendation("c", CLOCK + 1, "B")])
    assert against(invoice("2", 200, line("C"))) == [("2", before)]
    # The last lines of an invoice and the next one, in one batch; what lies before the newest is no forecast.
    batch = [invoice("3", 300, line("C")), invoice("5", 500), invoice("9", 250)]
    assert against(*batch) == [("3", before), ("5", f"c-{CLOCK + 1}")]
    assert against(invoice("3", 300, line("D"))) == []


def test_scored_invoices_may_leave_the_window(make_store: MakeStore) -> None:
    store = make_store(window=3)
    store.apply([invoice("1", 100)], clock_ms=CLOCK)
    store.confirm([recommendation("c", CLOCK, "A")])
    for number in range(2, 8):
        store.apply([invoice(str(number), 100 * number)], clock_ms=CLOCK + number)
    update = store.apply([invoice("2", 200), invoice("7", 700)], clock_ms=CLOCK + 9).updates[0]
    assert [prior.invoice_no for prior in update.priors] == ["7"]


def test_priors_when_the_newest_invoice_gets_an_older_date(store: Store) -> None:
    store.apply([invoice("1", 100)], clock_ms=CLOCK)
    store.confirm([recommendation("c", CLOCK, "A")])
    store.apply([invoice("2", 200)], clock_ms=CLOCK + 1)
    store.confirm([recommendation("c", CLOCK + 1, "B")])
    store.apply([invoice("2", 90, line("B"))], clock_ms=CLOCK + 2)
    # "1" is the later of the two now, but it appeared long ago, with nothing to stand against it.
    assert store.apply([invoice("1", 100, line("C"))], clock_ms=CLOCK + 3).updates[0].priors == []
    prior = store.apply([invoice("2", 90, line("C"))], clock_ms=CLOCK + 4).updates[0].priors[0]
    assert prior.stock_codes == ["A"]
    prior = store.apply([invoice("3", 150)], clock_ms=CLOCK + 5).updates[0].priors[0]
    assert (prior.invoice_no, prior.stock_codes) == ("3", ["B"])


def test_the_first_invoice_has_no_prior_even_later(store: Store) -> None:
    assert store.apply([invoice("1", 100)], clock_ms=CLOCK).updates[0].priors == []
    store.confirm([recommendation("c", CLOCK)])
    assert store.apply([invoice("1", 100, line("B"))], clock_ms=CLOCK).updates[0].priors == []


def test_an_invoice_that_begins_with_a_return_appears_with_its_first_purchase(store: Store) -> None:
    store.apply([invoice("1", 100)], clock_ms=CLOCK)
    store.confirm([recommendation("c", CLOCK, "A")])
    assert store.apply([invoice("2", 200, line("A", -1_000))], clock_ms=CLOCK + 1).updates[0].priors == []
    store.confirm([recommendation("c", CLOCK + 1, "B")])
    prior = store.apply([invoice("2", 200, line("B"))], clock_ms=CLOCK + 2).updates[0].priors[0]
    assert prior.stock_codes == ["B"]


def test_items_since_a_version(store: Store) -> None:
    store.apply([invoice("1", 100, line("A"), line("B")), invoice("1", 100, line("B"), customer="d")], clock_ms=CLOCK)
    first = store.items()
    assert {code: state.sold for code, state in first.states.items()} == {"A": 1, "B": 2}
    assert store.items(first.version).states == {}
    store.apply([invoice("2", 50, line("B"), line("R", -1_000))], clock_ms=CLOCK)
    second = store.items(first.version)
    assert {code: state.sold for code, state in second.states.items()} == {"B": 3}
    assert second.version > first.version
    store.apply([invoice("3", 300, line("C"))], clock_ms=CLOCK)
    assert set(store.items(first.version).states) == {"B", "C"}
    assert set(store.items().states) == {"A", "B", "C"}


def test_a_version_higher_than_the_stores_gets_all_items(store: Store) -> None:
    store.apply([invoice("1", 100)], clock_ms=CLOCK)
    assert set(store.items(1_000).states) == {"A"}


def test_price_and_description_are_those_of_the_newest_purchase(store: Store) -> None:
    def sale(number: str, date: int, price: float, description: str | None) -> Invoice:
        return Invoice(number, "c", date, (Line("A", 1_000, price, description),))

    store.apply([sale("1", 200, 2.0, "NEW"), sale("2", 100, 9.0, "OLD")], clock_ms=CLOCK)
    state = store.items().states["A"]
    assert (state.price, state.description, state.first, state.last, state.sold) == (2.0, "NEW", 100, 200, 2)
    store.apply([sale("3", 200, 3.0, "NET"), sale("4", 201, 1.0, None)], clock_ms=CLOCK)
    state = store.items().states["A"]
    assert (state.price, state.price_date, state.description, state.description_date) == (1.0, 201, "NEW", 200)


def test_the_clock_is_that_of_the_server(store: Store) -> None:
    clock = store.clock()
    assert clock is None if isinstance(store, MemoryStore) else clock is not None and abs(clock - time.time()) < 5


def test_now_is_the_greatest_date_accepted(store: Store) -> None:
    store.apply([invoice("1", -500)], clock_ms=CLOCK)
    assert store.now() == -500
    store.apply([invoice("2", 70, customer="d"), invoice("3", 60)], clock_ms=CLOCK)
    store.apply([invoice("4", 20)], clock_ms=CLOCK)
    assert store.now() == 70


def test_a_batch_larger_than_a_script_call(store: Store) -> None:
    many = [Line(f"{code:05}", 1_000, 1.0, "X" * 20) for code in range(9_000)]
    batch = [
        invoice("1", 100, *many[:8_000]),
        invoice("2", 200, *many[:5_000]),
        invoice("1", 90, *many[7_000:]),
        *(invoice("1", 300, customer=str(customer)) for customer in range(1_100)),
    ]
    applied = store.apply(batch, clock_ms=CLOCK)
    assert applied.counts == {"lines_new": 9_000 + 5_000 + 1_100, "lines_known": 1_000, "lines_behind": 0}
    assert len(applied.updates) == 1_101
    assert [len(one.lines) for one in applied.updates[0].history.invoices] == [9_000, 5_000]
    assert applied.updates[0].changed
    store.confirm([recommendation(str(customer), CLOCK) for customer in range(1_100)])
    assert len(list(store.recommendations())) == 1_100
    assert len(list(store.histories())) == 1_101
    assert {state.sold for state in store.items().states.values()} == {1, 2, 1_100}


@pytest.mark.parametrize("quantity", [1, 10**10, -(10**10)])
def test_quantities_and_prices_are_exact(store: Store, quantity: int) -> None:
    for price in (0.1 + 0.2, 5e-324, 1e7, 1.0):
        store.apply([invoice(repr(price), 1, line("A", quantity, price))], clock_ms=CLOCK)
    history = store.history("c")
    assert history is not None
    lines = [one.lines[0] for one in history.invoices]
    assert {(held.quantity, held.unit_price) for held in lines} == {
        (quantity, price) for price in (0.1 + 0.2, 5e-324, 1e7, 1.0)
    }
    assert (canonical_json(history) is None) == (quantity < 0)


def test_customers_and_their_revisions_are_read_together(store: Store) -> None:
    assert store.customers([]) == []
    assert store.revisions([]) == []
    store.apply([invoice("1", 100), invoice("2", 200, customer="d")], clock_ms=CLOCK)
    store.apply([invoice("3", 300, line("B"), customer="d")], clock_ms=CLOCK)
    first, unknown, second = store.customers(["d", "nobody", "c"])
    assert unknown is None
    assert first is not None
    assert second is not None
    assert (first.history, second.history) == (store.history("d"), store.history("c"))
    assert (first.revision, second.revision) == (CLOCK + 1, CLOCK)
    assert store.revisions(["nobody", "c", "d"]) == [0, CLOCK, CLOCK + 1]


def test_the_ids_of_all_customers_are_listed_once(store: Store) -> None:
    assert list(store.customer_ids()) == []
    known = [f"{{c}} %{number}" for number in range(1_200)]
    store.apply([invoice(str(number), 100, customer=each) for number, each in enumerate(known)], clock_ms=CLOCK)
    listed = [each for portion in store.customer_ids() for each in portion]
    assert sorted(listed) == sorted(known)
