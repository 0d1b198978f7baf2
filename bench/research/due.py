"""Who buys within a week: precision in the first decile and calibration against who came, next to simple rules.

    python -m bench.research.due PATH [--span 2011-11-09 2011-12-10] [--refit]

At each date of a span (every ``--within`` days) all customers with a purchase are ranked by the chance of a purchase
within the window, given none since their last one. The network is fitted on what was known when the span began, with
``--refit`` at each date. Intervals resample customers. By default both spans; they take 2 minutes.

*Own gaps* are the shrunk shares of gaps that the baselines serve. *Median gap* ranks by how near the last purchase plus
the customer's median gap (that of the shop, with one purchase) is to the middle of the window. *Gap elapsed* takes
those whose median gap has elapsed, the least overdue first. *Recency* ranks by the newest purchase.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from state.domain.due import VALUE_STRENGTH, basket_value, chance_within, net_spending
from state.domain.history import CustomerHistory, add_invoice
from state.events.dates import DAY, to_iso
from state.events.invoice import THOUSAND, Invoice
from state.settings import load_settings
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.history_cache import HistoryCache
from training.data.tables.invoice_table import load
from training.data.walk import customer_purchase_dates
from training.evaluation.intervals import Interval, Resampling
from training.evaluation.metrics import expected_calibration_error, reliability
from training.evaluation.return_time import auc
from training.evaluation.split import Span, parse_span
from training.models.return_time.fitting import fit_returns, return_examples
from training.serving.return_time.gap_shares import GapShareCurves, gaps
from training.serving.return_time.network import NumpyReturnNetwork
from training.serving.scorer import HORIZONS

SPANS = (("2011-11-09", "2011-12-10"), ("2011-06-01", "2011-08-01"))
WINDOW = 100
BATCH = 2_000
SHARE = 0.1
"""Part of the customers of a date that is in its first decile."""

Floats = NDArray[np.float64]


class Day(NamedTuple):
    """All customers as of a date, and what they bought within the window after it."""

    date: int
    histories: list[CustomerHistory]
    came: Floats
    spent: Floats


class Fitted(NamedTuple):
    """The models, fitted on what was known at a time."""

    network: NumpyReturnNetwork
    gaps: GapShareCurves


class Ranking(NamedTuple):
    """The scores of one method for all customers of all dates, ``[n]``; ``is_chance``: the scores are probabilities."""

    scores: Floats
    is_chance: bool


def days_of(log: Sequence[Invoice], span: Span, within: int) -> list[Day]:
    """The dates of a span whose window ends within it and within the log."""
    end = min(span.end, log[-1].date + 1)
    current = HistoryCache()
    ids: list[str] = []
    position = 0
    days = []
    dates = np.asarray([invoice.date for invoice in log])
    for date in range(span.start, end - within * DAY + 1, within * DAY):
        while position < len(log) and log[position].date < date:
            invoice = log[position]
            position += 1
            if invoice.customer_id is None:
                continue
            before = current.get(invoice.customer_id)
            if before is None:
                ids.append(invoice.customer_id)
            current[invoice.customer_id] = add_invoice(
                before or CustomerHistory(invoice.customer_id), invoice, WINDOW
            ).history
        histories = [history for each in ids if (history := current[each]).purchase_dates]
        spent: dict[str, float] = {}
        for invoice in log[position : int(np.searchsorted(dates, date + within * DAY))]:
            if invoice.customer_id is not None and invoice.is_purchase:
                value = sum(line.quantity * line.unit_price for line in invoice.lines if line.quantity > 0) / THOUSAND
                spent[invoice.customer_id] = spent.get(invoice.customer_id, 0.0) + value
        came = np.asarray([float(history.customer_id in spent) for history in histories])
        days.append(
            Day(date, histories, came, np.asarray([spent.get(history.customer_id, 0.0) for history in histories]))
        )
    return days


def fit(log: Sequence[Invoice], until: int, seed: int) -> Fitted:
    """Both return-time models, fitted on the log before ``until``."""
    keras.utils.set_random_seed(seed)
    network = NumpyReturnNetwork(fit_returns(return_examples(log, until, WINDOW), until).arrays())
    return Fitted(network, GapShareCurves.fit(gaps(customer_purchase_dates(log), until)))


def network(fitted: Fitted, day: Day, within: int) -> Floats:
    """The chance by the network, as it is served."""
    parts = [day.histories[start : start + BATCH] for start in range(0, len(day.histories), BATCH)]
    curves = np.concatenate([fitted.network.curve(part, day.date) for part in parts])
    return np.asarray([chance_within(curve, HORIZONS, within) for curve in curves.tolist()])


def own_gaps(fitted: Fitted, day: Day, within: int) -> Floats:
    """The chance by the customer's gaps, as the baselines serve it."""
    curves = [fitted.gaps.curve(history.purchase_dates, day.date) for history in day.histories]
    return np.asarray([chance_within(curve, HORIZONS, within) for curve in curves])


def median_gap(fitted: Fitted, day: Day, within: int) -> Floats:
    """How near the last purchase plus the median gap is to the middle of the window, in days below 0."""
    distance: Floats = np.abs(within / 2.0 - recency(fitted, day, within) - _median_gaps(day))
    return -distance


def gap_elapsed(fitted: Fitted, day: Day, within: int) -> Floats:
    """Those whose median gap elapses before the window ends, the least overdue first; then all others."""
    elapsed, median = within - recency(fitted, day, within), _median_gaps(day)
    return np.where(elapsed >= median, 1.0 / (1.0 + elapsed - median), elapsed - median)


def _median_gaps(day: Day) -> Floats:
    """The median gap of each customer in days; that of all gaps for a customer with one purchase."""
    found = [np.diff(history.purchase_dates) / DAY for history in day.histories]
    shop = float(np.median(np.concatenate(found)))
    return np.asarray([float(np.median(each)) if len(each) else shop for each in found])


def recency(fitted: Fitted, day: Day, within: int) -> Floats:
    """Days since the last purchase, below 0."""
    return np.asarray([(history.purchase_dates[-1] - day.date) / DAY for history in day.histories])


METHODS: dict[str, tuple[Callable[[Fitted, Day, int], Floats], bool]] = {
    "network": (network, True),
    "own gaps": (own_gaps, True),
    "median gap": (median_gap, False),
    "gap elapsed": (gap_elapsed, False),
    "recency": (recency, False),
}


def values(day: Day) -> Floats:
    """The expected basket value of each customer."""
    spending = np.asarray([net_spending(history) for history in day.histories])
    purchases = np.asarray([len(history.purchase_dates) for history in day.histories])
    shop = float(spending.sum() / purchases.sum())
    return np.asarray(
        [basket_value(one, number, shop) for one, number in zip(spending.tolist(), purchases.tolist(), strict=True)]
    )


def is_first(scores: Sequence[Floats]) -> NDArray[np.bool_]:
    """Whether each customer is in the first decile of their date; ties in the order of the customers."""
    found = []
    for each in scores:
        first = np.zeros(len(each), np.bool_)
        first[np.argsort(-each, kind="stable")[: max(1, round(SHARE * len(each)))]] = True
        found.append(first)
    return np.concatenate(found)


def shown(interval: Interval) -> str:
    """A share in per cent with its interval."""
    return f"{interval.mean:6.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def report(log: Sequence[Invoice], span: Span, within: int, *, refit: bool, seed: int) -> None:
    """Print the figures of one span."""
    days = days_of(log, span, within)
    fitted = [fit(log, day.date, seed) for day in (days if refit else days[:1])]
    models = fitted if refit else fitted * len(days)
    came, spent = (np.concatenate([getattr(day, name) for day in days]) for name in ("came", "spent"))
    ids = [history.customer_id for day in days for history in day.histories]
    customers = np.unique(ids, return_inverse=True)[1].astype(np.int64)
    resampling = Resampling(customers, generator=np.random.default_rng(seed))
    when = f"{to_iso(span.start)[:10]} to {to_iso(span.end)[:10]}: {len(days)} dates"
    share = f"{came.mean():.1%} came within {within} days{', fitted at each date' if refit else ''}"
    print(f"\n{when}, {len(customers):,} customers of a date, of whom {share}")
    print(
        f"{'method':<12} {'came, of the first decile':<28} {'AUC':<6} {'ECE':<6} {'predicted / came':<22} first decile"
    )
    scores = {
        name: [of(each, day, within) for each, day in zip(models, days, strict=True)]
        for name, (of, _) in METHODS.items()
    }
    first = {name: is_first(each) for name, each in scores.items()}
    for name, (_, is_chance) in METHODS.items():
        joined = np.concatenate(scores[name])
        precision = resampling.interval(np.where(first[name], came, np.nan))
        calibration = ""
        if is_chance:
            chosen = first[name]
            calibration = (
                f"{expected_calibration_error(joined, came):<6.3f} {joined.mean():5.1%} / {came.mean():<13.1%} "
                f"{joined[chosen].mean():.1%} / {came[chosen].mean():.1%}"
            )
        print(f"{name:<12} {shown(precision):<28} {auc(joined, came):<6.3f} {calibration}")
    print("lead of the network in the first decile, over its customers:")
    for name in list(METHODS)[1:]:
        # Deciles of one date have equal sizes, so the difference of precisions is a mean over all customers.
        lead = (first["network"].astype(float) - first[name].astype(float)) * came / SHARE
        print(f"  over {name:<11} {shown(resampling.interval(lead))}")
    print(
        "reliability of the network: "
        + ", ".join(
            f"{each.predicted:.1%} → {each.observed:.1%}"
            for each in reliability(np.concatenate(scores["network"]), came, 10)
        )
    )
    value = [values(day) for day in days]
    paid, chance = np.concatenate(value), np.concatenate(scores["network"])
    print(f"basket value of those who came: expected {paid[came > 0].mean():.2f}, spent {spent[came > 0].mean():.2f}")
    print(f"expected value of all: {(paid * chance).mean():.2f}, spent {spent.mean():.2f} (s = {VALUE_STRENGTH:g})")
    orders = {
        "chance × basket value": [one * other for one, other in zip(scores["network"], value, strict=True)],
        "chance": scores["network"],
        "basket value": value,
        "recency": scores["recency"],
        "median gap": scores["median gap"],
        "gap elapsed": scores["gap elapsed"],
    }
    for name, order in orders.items():
        print(f"  {name:<22} {spent[is_first(order)].sum() / spent.sum():6.1%} of the spending is in its first decile")


def main(path: Path, spans: Sequence[Span], within: int, *, refit: bool, seed: int) -> None:
    """Print the figures of all spans."""
    log = invoices(clean(load(path), load_settings()))
    for span in spans:
        report(log, span, within, refit=refit, seed=seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--span", nargs=2, action="append", metavar=("START", "END"))
    parser.add_argument("--within", type=int, default=7, help="length of the window in days")
    parser.add_argument("--refit", action="store_true", help="fit at each date, as a weekly trainer does")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    if not 1 <= arguments.within <= HORIZONS[-1]:
        parser.error(f"--within takes 1 to {HORIZONS[-1]} days")
    main(
        arguments.path,
        [parse_span(*each) for each in arguments.span or SPANS],
        arguments.within,
        refit=arguments.refit,
        seed=arguments.seed,
    )
