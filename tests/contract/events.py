"""Hypothesis strategies for invoices, and for the order and form in which they arrive."""

from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st

from state import Invoice, Item, Line, ModelVersion, NextPurchase, Reason, Recommendation, Trigger

DAY = 86_400
START = 1_300_000_000
AWKWARD = 'q",5,1.0,"\\{b}%\x00\n'
"""A text that looks like parts of the encodings of the stores."""

ATTRIBUTES: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from(["age", "1", AWKWARD, "é", "\U0001f600"]), st.sampled_from(["", "2", "10", "\uffff"])
    ),
    st.integers(0, 9).map(lambda first: {f"k{number:02}": "1" for number in range(first, first + 31)}),
)
"""Attributes of an event; two of the last kind together exceed the bound of keys."""

LINES = st.builds(
    Line,
    stock_code=st.sampled_from(["A", "B", "10001", AWKWARD]),
    quantity=st.sampled_from([1_000, 2_000, 500, -1_000, -2_000]),
    unit_price=st.sampled_from([1.0, 0.85, 1e7, 5e-324]),
    description=st.sampled_from([None, "TEA", "LAMP"]),
    line_id=st.sampled_from([None, None, None, "1", AWKWARD]),
    attributes=ATTRIBUTES,
)
DATES = st.sampled_from([START + 3_600 * hours for hours in (0, 1, 30, 31, 900, 20_000)]) | st.just(-2_208_988_800)
NUMBERS = ["1", "10", "2", "C3", AWKWARD]


@st.composite
def invoice_parts(draw: st.DrawFn, customers: Sequence[str] = ("a", "b", AWKWARD)) -> list[Invoice]:
    """Parts of invoices of some customers; an invoice number belongs to one customer at a time."""
    events = st.builds(
        Invoice,
        invoice_no=st.sampled_from(NUMBERS),
        customer_id=st.sampled_from(customers),
        date=DATES,
        lines=st.lists(LINES, min_size=1, max_size=4).map(tuple),
        attributes=ATTRIBUTES,
    )
    return draw(st.lists(events, min_size=1, max_size=8))


@st.composite
def arrivals(draw: st.DrawFn, events: Sequence[Invoice]) -> list[Invoice]:
    """The same parts in another order, some split into single lines, some twice."""
    parts: list[Invoice] = []
    for event in events:
        if draw(st.booleans()):
            parts.append(event)
        else:
            parts.extend(msgspec.structs.replace(event, lines=(line,)) for line in event.lines)
    parts.extend(draw(st.lists(st.sampled_from(parts), max_size=4)))
    return draw(st.permutations(parts))


@st.composite
def batches(draw: st.DrawFn, events: Sequence[Invoice]) -> list[list[Invoice]]:
    """The events cut into batches."""
    cuts = sorted(draw(st.lists(st.integers(0, len(events)), max_size=3)))
    return [list(events[start:end]) for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True)]


def one_date_each(events: Sequence[Invoice]) -> list[Invoice]:
    """The events with one date for all parts of an invoice."""
    dates: dict[tuple[str | None, str], int] = {}
    return [
        msgspec.structs.replace(event, date=dates.setdefault((event.customer_id, event.invoice_no), event.date))
        for event in events
    ]


def recommendation(customer: str, revision: int, *codes: str) -> Recommendation:
    """A recommendation, by default of one item."""
    reason = Reason("bought_before", {"times": 1, "last": "2011-12-09", "share": 0.5})
    return Recommendation(
        rec_id=f"{customer}-{revision}",
        customer_id=customer,
        revision=revision,
        generated_at="2011-12-09T12:50:00Z",
        valid_until="2012-01-08T12:50:00Z",
        trigger=Trigger("1", "invoices", 3, 91),
        model=ModelVersion("basket_lstm", "2011-12-09T13-00-00Z"),
        next_purchase=NextPurchase({"7": 0.2, "30": 0.5}, "2011-12-14", "2012-01-02", None),
        items=[Item(code, f"ITEM {code}", 0.25, "replenish", reason) for code in codes or ("A",)],
    )
