"""Prequential evaluation: every invoice of a span is predicted from what was known, then joins what is known.

Every model answers through its scorer, along the walk that also makes training examples: the code that is judged is the
code that serves. One pass serves any number of models.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from state.events.dates import DAY
from state.events.invoice import Invoice
from training import progress
from training.data.walk import Moment, walk
from training.evaluation.split import Span
from training.serving.scorer import Scorer

Task = Literal["next-basket", "discover"]
"""Rank everything, or only what the customer never bought (over invoices that hold such an item)."""

DEPTH = 100
"""Length of the rankings that are kept."""

COLD_DAYS = 30
"""An item is cold as long as its first sale lies less than this many days back."""

RARE_SALES = 5
"""An item is rare as long as fewer purchase invoices than this, of anybody, held it."""


class EvaluationCase(NamedTuple):
    """One invoice that was to be predicted, and what makes it easy or hard.

    ``wanted`` are the distinct items bought; ``repeat`` and ``new`` split them by whether the customer bought them in
    any earlier invoice, returned later or not; ``cold`` are those of ``new`` first sold, by anybody, less than
    ``COLD_DAYS`` before, and ``rare`` those of ``wanted`` sold on fewer than ``RARE_SALES`` invoices before, or never.
    All of it is as of this invoice, so that the same items are wanted at both moments.
    ``earlier`` counts the customer's purchase invoices before this one; it is 0 only where first ones are judged too.
    """

    invoice_no: str
    customer_id: str
    wanted: frozenset[str]
    repeat: frozenset[str]
    new: frozenset[str]
    cold: frozenset[str]
    rare: frozenset[str]
    earlier: int


class Ranking(NamedTuple):
    """What a model said: stock codes, best first, and the probability of each."""

    stock_codes: list[str]
    probabilities: list[float]


class EvaluationRun(NamedTuple):
    """Cases in the order of the walk, and for each model its rankings of them; ``catalogue``: items ever sold."""

    moment: Moment
    task: Task
    cases: list[EvaluationCase]
    rankings: dict[str, list[Ranking]]
    catalogue: int


@runtime_checkable
class Refits(Protocol):
    """A scorer that can be fitted anew for next to nothing, so that it may be judged as if that was done every day."""

    def refit(self, invoices: Sequence[Invoice], until: int) -> None:
        """Learn from what is dated before ``until``, and from nothing else."""
        ...


def evaluation_cases(
    invoices: Sequence[Invoice], judged: Span, *, first: bool = False, with_known: bool = False
) -> tuple[dict[int, EvaluationCase], dict[int, frozenset[str]], int]:
    """What is to be predicted in a span: every purchase invoice whose customer has an earlier one.

    Args:
        invoices: The log, sorted by (date, invoice number).
        judged: The span.
        first: Whether customers' first purchase invoices are to be predicted too.
        with_known: Whether everything is told that the customer of each case had bought before: a set a case, which
            takes much memory where histories are long.

    Returns:
        Cases by position in the log; by the same position what the customer had bought, nothing unless asked for; and
        the number of items sold before the span's end.
    """
    found: dict[int, EvaluationCase] = {}
    known_then: dict[int, frozenset[str]] = {}
    known: dict[str, set[str]] = {}
    earlier: dict[str, int] = {}
    first_sold: dict[str, int] = {}
    sales: dict[str, int] = {}
    for position, invoice in enumerate(invoices):
        if invoice.date >= judged.end:
            break
        customer = invoice.customer_id
        if customer is None or not invoice.is_purchase:
            continue
        bought = invoice.purchased_codes
        before = known.setdefault(customer, set())
        for code in bought:
            first_sold.setdefault(code, invoice.date)
        if invoice.date >= judged.start and (first or customer in earlier):
            new = frozenset(bought - before)
            cold = frozenset(code for code in new if invoice.date - first_sold[code] < COLD_DAYS * DAY)
            rare = frozenset(code for code in bought if sales.get(code, 0) < RARE_SALES)
            found[position] = EvaluationCase(
                invoice.invoice_no,
                customer,
                bought,
                frozenset(bought & before),
                new,
                cold,
                rare,
                earlier.get(customer, 0),
            )
            if with_known:
                known_then[position] = frozenset(before)
        for code in bought:
            sales[code] = sales.get(code, 0) + 1
        before |= bought
        earlier[customer] = earlier.get(customer, 0) + 1
    return found, known_then, len(first_sold)


def evaluate(
    invoices: Sequence[Invoice],
    scorers: Mapping[str, Scorer],
    judged: Span,
    *,
    moment: Moment | Literal["both"] = "visit",
    task: Task = "next-basket",
    window: int = 100,
    depth: int = DEPTH,
    first: bool = False,
    refit: bool = False,
    most: int | None = None,
) -> dict[Moment, EvaluationRun]:
    """Let every scorer rank before every invoice of a span.

    Args:
        invoices: The whole log from its beginning, sorted by (date, invoice number); returns included.
        scorers: By the name under which a model is reported. They must not have been fitted on the span.
        judged: The span whose invoices are predicted.
        moment: Just before the invoice (visit), right after the customer's previous one (emission), or both.
        task: What is ranked.
        window: Number of invoices that a history holds, as in the stream.
        depth: Length of the rankings.
        first: Whether customers' first purchase invoices are predicted too, at the visit: see ``walk``.
        refit: Whether scorers that can (``Refits``) are fitted anew to what was known when each day (UTC) began, at the
            emission too. They are left as the last day made them. Without it all stay as they were fitted.
        most: Of more invoices than this only evenly spaced ones are predicted, so many at most; all join what is known.

    Returns:
        One run a moment, visit first.
    """
    found, known, catalogue = evaluation_cases(invoices, judged, first=first, with_known=task == "discover")
    if task == "discover":
        found = {position: case for position, case in found.items() if case.new}
    if most is not None and len(found) > most:
        found = {position: found[position] for position in list(found)[:: -(-len(found) // most)]}
    moments: tuple[Moment, ...] = ("visit", "emission") if moment == "both" else (moment,)
    runs = {when: EvaluationRun(when, task, [], {name: [] for name in scorers}, catalogue) for when in moments}
    returning = sum(case.earlier > 0 for case in found.values())  # before a first invoice there is no emission
    done, total = 0, sum(len(found) if when == "visit" else returning for when in moments)
    refitted, today = [scorer for scorer in scorers.values() if refit and isinstance(scorer, Refits)], -1
    # One customer a call: the item table is valid only until the walk's next step, and every invoice changes it.
    for step in walk(invoices, moment=moment, start=judged.start, end=judged.end, window=window, first=first):
        case = found.get(step.position)
        if case is None:
            continue
        if step.now // DAY != today:
            today = step.now // DAY
            for each in refitted:
                each.refit(invoices, today * DAY)
        this = runs[step.moment]
        this.cases.append(case)
        hidden = known.get(step.position, frozenset())
        for name, scorer in scorers.items():
            candidates = scorer.predict([step.history], step.items, step.now, depth + len(hidden))[0].candidates
            kept = [candidate for candidate in candidates if candidate.stock_code not in hidden][:depth]
            this.rankings[name].append(Ranking([c.stock_code for c in kept], [c.probability for c in kept]))
        done += 1
        progress.update(done, total)
    return runs
