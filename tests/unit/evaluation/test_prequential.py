"""Every invoice is predicted from what was known before it, and nothing else."""

from collections.abc import Sequence

import pytest

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.events.invoice import Invoice
from tests.unit.evaluation.purchases import START, invoice
from training.data.walk import Moment
from training.evaluation.cases import EvaluationCase, evaluation_cases
from training.evaluation.prequential import evaluate
from training.evaluation.split import Span
from training.features.item_table import ItemTable
from training.progress import RecordedProgress, shown_by
from training.serving.scorer import HORIZONS, Candidate, Prediction

LOG = [
    invoice("1", "ann", 0, "a", "b"),
    invoice("2", "bob", 1, "a"),
    invoice("3", "ann", 40, "b", "c", back=True),
    invoice("4", "bob", 50, "b", "d"),
    invoice("5", "ann", 60, "b", "d", "e"),
    invoice("6", "cid", 61, "f"),
    invoice("7", "bob", 62, "a", "f"),
    invoice("8", "bob", 99, "z"),
]
SPAN = Span(START + 50 * DAY, START + 99 * DAY)


class Spy:
    """Ranks the customer's own codes first, then all others; remembers what it was shown."""

    name = "spy"
    version = "0"

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, list[str], list[str]]] = []

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        predictions = []
        for history in histories:
            bought = [invoice.invoice_no for invoice in history.invoices]
            self.seen.append((history.customer_id, (now - START) // DAY, bought, list(items.codes)))
            own = {line.stock_code for invoice in history.invoices for line in invoice.lines}
            codes = sorted(items.codes, key=lambda code: (code not in own, code))[:k]
            candidates = [Candidate(code, 1.0 / (rank + 2)) for rank, code in enumerate(codes)]
            predictions.append(Prediction(candidates, (0.1,) * len(HORIZONS)))
        return predictions


def test_first_invoices_are_cases_where_asked_for() -> None:
    spy = Spy()
    result = evaluate(LOG, {"spy": spy}, SPAN, moment="both", first_invoices=True)
    assert [(case.invoice_no, case.earlier_invoices) for case in result["visit"].cases] == [
        ("4", 1),
        ("5", 1),
        ("6", 0),
        ("7", 2),
    ]
    assert [case.invoice_no for case in result["emission"].cases] == ["5", "4", "7"]
    assert result["visit"].cases[2].new == frozenset("f")
    assert ("cid", 61, [], ["a", "b", "d", "e"]) in spy.seen


def test_cases_by_hand() -> None:
    found, known, catalogue = evaluation_cases(LOG, SPAN, with_known_items=True)
    assert found == {
        3: EvaluationCase(
            "4", "bob", frozenset("bd"), frozenset(), frozenset("bd"), frozenset("d"), frozenset("bd"), 1
        ),
        # Brought back, b still counts as bought before: known is gross.
        4: EvaluationCase(
            "5", "ann", frozenset("bde"), frozenset("b"), frozenset("de"), frozenset("de"), frozenset("bde"), 1
        ),
        6: EvaluationCase(
            "7", "bob", frozenset("af"), frozenset("a"), frozenset("f"), frozenset("f"), frozenset("af"), 2
        ),
    }
    assert known == {3: frozenset("a"), 4: frozenset("ab"), 6: frozenset("abd")}
    assert evaluation_cases(LOG, SPAN) == (found, {}, catalogue)
    assert catalogue == 5  # c was only ever brought back


def test_a_cold_item_was_first_sold_less_than_thirty_days_before() -> None:
    log = [
        invoice("1", "x", 0, "a"),
        invoice("2", "x", 1, "b"),
        invoice("3", "ann", 2, "c"),
        invoice("4", "ann", 31, "a", "b", "c"),
    ]
    found, _, _ = evaluation_cases(log, Span(START + 31 * DAY, START + 32 * DAY))
    assert found[3].new == frozenset("ab")
    assert found[3].cold == frozenset()
    earlier = [*log[:3], invoice("4", "ann", 30.9, "a", "b", "c")]
    found, _, _ = evaluation_cases(earlier, Span(START + 30 * DAY, START + 32 * DAY))
    assert found[3].cold == frozenset("b")


def test_a_rare_item_was_on_fewer_than_five_invoices_before() -> None:
    """Item a is on five invoices, b on four and one that is only a return; e is never sold before."""
    log = [invoice(str(number), "x", number, "a", "b") for number in range(4)]
    log += [invoice("4", "y", 4, "a"), invoice("5", "x", 5, "b", back=True), invoice("6", "y", 6, "a", "b", "e")]
    found, _, _ = evaluation_cases(log, Span(START + 6 * DAY, START + 7 * DAY))
    assert found[6].rare == frozenset("be")
    assert found[6].repeat == frozenset("a")


def test_at_the_visit_all_earlier_invoices_are_known() -> None:
    spy = Spy()
    result = evaluate(LOG, {"spy": spy}, SPAN)["visit"]
    assert [case.invoice_no for case in result.cases] == ["4", "5", "7"]
    assert spy.seen == [
        ("bob", 50, ["2"], ["a", "b"]),
        ("ann", 60, ["1", "3"], ["a", "b", "d"]),
        ("bob", 62, ["2", "4"], ["a", "b", "d", "e", "f"]),
    ]


def test_at_the_emission_only_what_was_known_after_the_invoice_before() -> None:
    spy = Spy()
    result = evaluate(LOG, {"spy": spy}, SPAN, moment="emission")["emission"]
    assert {(case.invoice_no, seen[1]) for case, seen in zip(result.cases, spy.seen, strict=True)} == {
        ("5", 0),
        ("4", 1),
        ("7", 50),
    }
    by_invoice = {case.invoice_no: seen for case, seen in zip(result.cases, spy.seen, strict=True)}
    assert by_invoice["5"] == ("ann", 0, ["1"], ["a", "b"])
    assert by_invoice["7"] == ("bob", 50, ["2", "4"], ["a", "b", "d"])


def test_both_moments_come_from_one_pass_and_equal_two() -> None:
    both = evaluate(LOG, {"spy": Spy()}, SPAN, moment="both")
    moments: tuple[Moment, Moment] = ("visit", "emission")
    for when in moments:
        assert both[when] == evaluate(LOG, {"spy": Spy()}, SPAN, moment=when)[when]


class UpdatedSpy(Spy):
    """Records, between its predictions, until when it was updated."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[tuple[int, int]] = []

    def update(self, invoices: Sequence[Invoice], until: int) -> None:
        assert invoices == LOG
        assert until % DAY == 0
        self.updates.append((len(self.seen), until // DAY - START // DAY))


def test_a_scorer_that_follows_the_log_is_updated_every_day() -> None:
    """Before the first prediction of a day, with what was known when it began; emissions are of days 0, 1 and 50."""
    spy, plain = UpdatedSpy(), Spy()
    result = evaluate(LOG, {"spy": spy, "plain": plain}, SPAN, moment="both")
    assert [day for _, day, _, _ in spy.seen] == [0, 1, 50, 50, 60, 62]
    assert spy.updates == [(0, 0), (1, 1), (2, 50), (4, 60), (5, 62)]
    assert result["visit"].rankings["spy"] == result["visit"].rankings["plain"]


def test_later_invoices_change_no_earlier_prediction() -> None:
    scrambled = [*LOG[:5], invoice("6", "cid", 61, "b", "q"), invoice("7", "bob", 62, "x", "y"), LOG[7]]
    before = evaluate(LOG, {"spy": Spy()}, SPAN)["visit"].rankings["spy"][:2]
    assert evaluate(scrambled, {"spy": Spy()}, SPAN)["visit"].rankings["spy"][:2] == before


def test_discover_leaves_known_items_out_and_fills_up() -> None:
    log = [*LOG[:6], invoice("7", "bob", 62, "a"), LOG[7]]
    result = evaluate(log, {"spy": Spy()}, SPAN, task="discover", depth=2)["visit"]
    assert [case.invoice_no for case in result.cases] == ["4", "5"]  # the seventh holds nothing new to bob
    assert [ranking.stock_codes for ranking in result.rankings["spy"]] == [["b"], ["d"]]
    assert all(len(ranking.probabilities) == len(ranking.stock_codes) for ranking in result.rankings["spy"])


def test_of_too_many_invoices_evenly_spaced_ones_are_predicted_and_all_become_known() -> None:
    spy, every = Spy(), evaluate(LOG, {"spy": Spy()}, SPAN, moment="both")
    fewer = evaluate(LOG, {"spy": spy}, SPAN, moment="both", max_cases=2)
    assert [case.invoice_no for case in fewer["visit"].cases] == ["4", "7"]
    assert {case.invoice_no for case in fewer["emission"].cases} == {"4", "7"}
    # Bob's last invoice is ranked as ever, and after the one of ann that is passed over its item is known.
    assert fewer["visit"].rankings["spy"] == every["visit"].rankings["spy"][::2]
    assert ("bob", 62, ["2", "4"], ["a", "b", "d", "e", "f"]) in spy.seen
    assert evaluate(LOG, {"spy": Spy()}, SPAN, moment="both", max_cases=3) == every


def test_progress_reaches_its_total() -> None:
    with shown_by(RecordedProgress()) as shown:
        evaluate(LOG, {"spy": Spy()}, SPAN, moment="both")
    assert shown.updates == [(step, 6, "") for step in range(1, 7)]


@pytest.mark.parametrize("end", [51, 61])
def test_the_end_is_not_included(end: int) -> None:
    result = evaluate(LOG, {"spy": Spy()}, Span(SPAN.start, START + end * DAY))["visit"]
    assert [case.invoice_no for case in result.cases] == {51: ["4"], 61: ["4", "5"]}[end]
