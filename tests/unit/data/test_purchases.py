"""The walk over columns of sales against the plain replay of every invoice, to the last bit."""

import pickle
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from state.domain.attributes import merge_attributes
from state.domain.history import CustomerHistory
from state.events.invoice import Invoice, Line
from training.data import purchases as purchases_module
from training.data.log import InvoiceLog, invoices_before, merge_logs
from training.data.purchases import Purchases
from training.data.walk import ItemReplay, PredictionPoint, StateReplay, prediction_points, walk, walk_points
from training.features import item_table
from training.features.item_table import ItemTable

DAY = 86_400
START = 15_000 * DAY


def random_log(seed: int, invoices: int = 400) -> list[Invoice]:
    """Sales and returns of few customers and items, in no pattern, over some years; anonymous ones too."""
    random = np.random.default_rng(seed)
    date = START

    def line() -> Line:
        code = f"item {random.integers(0, 40)}"
        return Line(
            code,
            int(random.choice([-1_000, 500, 1_000, 3_000])),
            float(random.choice([1.0, 1.5, 2.25])),
            None if random.random() < 0.1 else f"{code} {random.choice(['red', 'blue', 'RED'])}",
            None,
            {"shelf": str(random.integers(0, 3))} if random.random() < 0.2 else {},
        )

    log = []
    for number in range(invoices):
        date += int(random.choice([0, 1, 7_000, 3 * DAY, 90 * DAY], p=[0.4, 0.1, 0.3, 0.19, 0.01]))
        customer = None if random.random() < 0.05 else f"customer {random.integers(0, 25)}"
        lines = tuple(line() for _ in range(random.integers(0, 6)))
        country = {"country": str(random.choice(["Spain", "Italy"]))}
        log.append(Invoice(f"{1_000 + number}", customer, date, lines, country))
    return log


def plain_walk(log: Sequence[Invoice], start: int, end: int, window: int) -> Iterator[PredictionPoint]:
    """Every visit, first ones too, and every emission, replayed invoice by invoice."""
    bought = [
        index for index, each in enumerate(log) if each.customer_id is not None and each.is_purchase and each.date < end
    ]
    following = {
        index: next(
            (later for later in bought if later > index and log[later].customer_id == log[index].customer_id), -1
        )
        for index in bought
    }
    not_first = set(following.values())
    replay = StateReplay(window)
    for index, invoice in enumerate(log):
        if index in following and invoice.date >= start:
            customer = str(invoice.customer_id)
            history = replay.histories.get(customer) or CustomerHistory(customer)
            if index not in not_first:
                dated = merge_attributes(history.dated_attributes, invoice.attributes, invoice.date)
                history = replace(history, dated_attributes=dated)
            yield PredictionPoint("visit", invoice.date, index, invoice, history, replay.items)
        replay.apply(invoice)
        target = following.get(index, -1)
        if target >= 0 and log[target].date >= start:
            history = replay.histories[str(invoice.customer_id)]
            yield PredictionPoint("emission", invoice.date, target, log[target], history, replay.items)


def content(point: PredictionPoint) -> list[Any]:
    """All that a point holds, with the bytes of its columns of items."""
    return [*point[:5], *items_content(point.items, point.now)]


def items_content(items: ItemTable, now: int) -> list[Any]:
    """All that a table of items holds, with the bytes of its columns."""
    arrays = (items.first, items.last, items.sold, items.price, items.demand(now), items.shares(now))
    texts = [(items.description(code), dict(items.attributes(code))) for code in items.codes]
    return [list(items.codes), texts, [array.tobytes() for array in arrays]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("window", [1, 100])
def test_the_walk_equals_the_replay_of_every_invoice(seed: int, window: int) -> None:
    log = random_log(seed)
    start, end = log[150].date, log[-40].date
    walked = walk(log, moment="both", start=start, end=end, window=window, first=True)
    n_points = 0
    for mine, plain in zip_longest(walked, plain_walk(log, start, end, window)):
        assert content(mine) == content(plain)
        n_points += 1
    assert n_points > 200


def test_some_points_are_those_of_the_whole_walk_and_no_other_customer_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = merge_logs(random_log(5))
    end = log[-1].date
    points = prediction_points(log.purchases, moment="both", start=log[150].date, end=end)
    expected = [content(each) for each in walk(log, moment="both", start=log[150].date, end=end, window=9)]
    chosen = np.arange(3, len(points.target), 37)
    customers = {log[int(target)].customer_id for target in points.target[chosen]}
    assert len(customers) < 15

    read = []
    get = InvoiceLog.__getitem__

    def remember(log: InvoiceLog, at: int) -> Invoice:
        read.append(get(log, at))
        return read[-1]

    monkeypatch.setattr(InvoiceLog, "__getitem__", remember)
    found = [content(each) for each in walk_points(log, log.purchases, points.of(chosen), 9)]
    assert found == [expected[index] for index in chosen]
    assert {each.customer_id for each in read} == customers


def test_a_copy_for_a_part_of_the_log_goes_on_like_the_whole() -> None:
    purchases = merge_logs(random_log(7)).purchases
    whole = ItemReplay(purchases)
    for first, last in [(0, 90), (90, 91), (91, 400)]:
        last = min(last, len(purchases))
        whole.advance(first)
        part: ItemReplay = pickle.loads(pickle.dumps(whole.until(last)))
        for known in range(first, last + 1, 3):
            whole.advance(known)
            part.advance(known)
            assert items_content(part.table, START) == items_content(whole.table, START)
    assert len(part.table) == 40


def test_the_columns_of_a_beginning_are_those_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SPILL_ROWS", "_SPILL_INVOICES"):
        monkeypatch.setattr(purchases_module, name, 7)  # columns in files
    log = merge_logs(random_log(6))
    date = log[200].date
    beginning = invoices_before(log, date)
    assert isinstance(beginning, InvoiceLog)
    assert isinstance(log.purchases.item, np.memmap)
    mine, other = beginning.purchases, Purchases.of(list(beginning))
    for name in ("date", "customer", "first_sale", "item", "units", "price", "text", "attributed", "attribute"):
        assert getattr(mine, name).tolist() == getattr(other, name).tolist(), name
    assert mine.n_items == other.n_items
    assert mine.codes[: mine.n_items] == other.codes
    assert mine.texts[: len(other.texts)] == other.texts


def test_sales_at_once_equal_sales_one_by_one_where_the_reference_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_table, "_REBASE_AFTER", 5 * DAY)
    log = [each for each in random_log(7) if each.customer_id is not None]
    plain = ItemTable()
    for invoice in log:
        plain.sell(invoice.lines, invoice.date)
    end = log[-1].date + 1
    (*_, last) = walk(log, moment="visit", start=0, end=end, window=9, first=True)
    assert last.items.codes == plain.codes
    assert last.items.demand(end).tobytes() == plain.demand(end).tobytes()
    assert last.items.shares(end).tobytes() == plain.shares(end).tobytes()
