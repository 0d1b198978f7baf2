"""Accuracy of the chance that a customer returns, by horizon: the network, baselines, BG/NBD and LightGBM.

    python -m bench.research.return_time PATH 2011-06-01 2011-08-01 [--every 7] [--plot FILE]

Every model is fitted on what was known when the span began; with ``--every 7`` again after each 7 days of it, as by a
weekly trainer, and the newest fit predicts. LightGBM reads the network's inputs, one model for each horizon, and is
fitted on purchases whose horizon has passed. ``--since`` drops older invoices; the network's figures are means over
``--seeds``. A span of two months of UCI Online Retail takes about 5 minutes with one fit.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from bench.research.bgnbd import BgNbd, Customers
from state.events.dates import DAY
from state.events.invoice import Invoice
from state.settings import load_settings
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.tables.invoice_table import load
from training.data.walk import customer_purchase_dates
from training.evaluation.metrics import reliability
from training.evaluation.return_time import EmissionOutcomes, ReturnMetrics, emission_outcomes, return_metrics
from training.evaluation.split import Span, parse_instant, parse_span
from training.features.return_time.inputs import return_inputs
from training.models.return_time.fitting import ReturnExamples, fit_returns, return_examples
from training.serving.return_time.gap_shares import GapShareCurves, gaps
from training.serving.return_time.network import NumpyReturnNetwork
from training.serving.scorer import HORIZONS

WINDOW = 100
BINS = 10
SEED = 7
RANDOM = ("network",)
"""Models that depend on the seed."""

Floats = NDArray[np.float64]


class TrainingData(NamedTuple):
    """Training data of a model: the log before ``until``, and the outcomes of its purchases by then."""

    log: Sequence[Invoice]
    until: int
    examples: ReturnExamples


def base_rate(known: TrainingData, evaluated: EmissionOutcomes, seed: int) -> Floats:
    """The share of purchases followed by another within the horizon, of those whose horizon has passed."""
    rates = []
    for horizon in HORIZONS:
        passed = (known.until - known.examples.date) / DAY >= horizon
        rates.append((known.examples.returned & (known.examples.days <= horizon))[passed].mean())
    return np.tile(rates, (len(evaluated.date), 1))


def customer_gaps(known: TrainingData, evaluated: EmissionOutcomes, seed: int) -> Floats:
    """Shares of the customer's gaps, shrunk to Kaplan and Meier's curve of customers with as many baskets."""
    curves = GapShareCurves.fit(gaps(customer_purchase_dates(known.log), known.until))
    pairs = zip(evaluated.histories, evaluated.date.tolist(), strict=True)
    return np.asarray([curves.curve(history.purchase_dates, now) for history, now in pairs])


def bg_nbd(known: TrainingData, evaluated: EmissionOutcomes, seed: int) -> Floats:
    """BG/NBD, fitted on every customer as of ``until``."""
    dates: dict[str, list[int]] = {}
    for invoice in known.log:
        if invoice.date < known.until and invoice.customer_id is not None and invoice.is_purchase:
            dates.setdefault(invoice.customer_id, []).append(invoice.date)
    model = BgNbd.fit(_customers(list(dates.values()), [known.until] * len(dates)))
    now = _customers([history.purchase_dates for history in evaluated.histories], evaluated.date.tolist())
    return model.chances(now, np.asarray(HORIZONS, np.float64))


def light_gbm(known: TrainingData, evaluated: EmissionOutcomes, seed: int) -> Floats:
    """Boosted trees on the network's inputs."""
    import lightgbm

    inputs = return_inputs(evaluated.histories, known.examples.since)
    columns = []
    for horizon in HORIZONS:
        passed = (known.until - known.examples.date) / DAY >= horizon
        returned = known.examples.returned & (known.examples.days <= horizon)
        model = lightgbm.LGBMClassifier(
            n_estimators=100, learning_rate=0.05, num_leaves=7, min_child_samples=40, verbose=-1, n_jobs=1
        )
        model.fit(known.examples.inputs[passed], returned[passed])
        columns.append(np.asarray(model.predict_proba(inputs))[:, 1])
    return np.stack(columns, axis=1)


def network(known: TrainingData, evaluated: EmissionOutcomes, seed: int) -> Floats:
    """The network, predicting with the serving code."""
    keras.utils.set_random_seed(seed)
    curve = NumpyReturnNetwork(fit_returns(known.examples, known.until).arrays())
    pairs = zip(evaluated.histories, evaluated.date.tolist(), strict=True)
    return np.concatenate([curve.curve([history], now) for history, now in pairs])


MODELS: dict[str, Callable[[TrainingData, EmissionOutcomes, int], Floats]] = {
    "base rate": base_rate,
    "own gaps": customer_gaps,
    "BG/NBD": bg_nbd,
    "LightGBM": light_gbm,
    "network": network,
}


def main(
    path: str,
    evaluated: Span,
    since: int | None,
    every: int | None,
    models: Sequence[str],
    seeds: int,
    plot: Path | None,
) -> None:
    """Print the accuracy of each model on the invoices of a span, and draw the reliability if ``plot`` is set."""
    log = invoices(clean(load(Path(path)), load_settings()))
    if since is not None:
        log = [each for each in log if each.date >= since]
    seen = emission_outcomes(log, evaluated, WINDOW)
    length = evaluated.end - evaluated.start if every is None else every * DAY
    rounds = []
    for start in range(evaluated.start, evaluated.end, length):
        first, last = np.searchsorted(seen.date, [start, start + length])
        asked = EmissionOutcomes(
            seen.histories[first:last], seen.date[first:last], seen.next_date[first:last], seen.log_end
        )
        if last > first:
            rounds.append((TrainingData(log, start, return_examples(log, start, WINDOW)), asked))

    def run(name: str, seed: int) -> dict[int, ReturnMetrics]:
        return return_metrics(np.concatenate([MODELS[name](known, asked, seed) for known, asked in rounds]), seen)

    print(f"{len(seen.date)} purchases, at {' / '.join(map(str, HORIZONS))} days")
    print(f"{'model':<10} {'Brier score':<29} {'expected calibration error':<29} {'AUC':<29}")
    found = {}
    for name in models:
        runs = [run(name, SEED + number) for number in range(seeds if name in RANDOM else 1)]
        found[name] = runs[0]
        brier, ece, auc = (
            " ".join(f"{np.mean([getattr(each[horizon], figure) for each in runs]):.3f}" for horizon in HORIZONS)
            for figure in ("brier", "ece", "auc")
        )
        print(f"{name:<10} {brier:<29} {ece:<29} {auc:<29}", flush=True)
    if plot is not None:
        draw(found, plot)


def draw(found: dict[str, dict[int, ReturnMetrics]], plot: Path) -> None:
    """Draw predicted against observed shares of returns, in bins of equal size, one chart for each horizon."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(HORIZONS), 3.6), layout="constrained")
    for axes, horizon in zip(figure.subplots(1, len(HORIZONS), sharey=True), HORIZONS, strict=True):
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for name, figures in found.items():
            bins = reliability(figures[horizon].predicted, figures[horizon].outcomes, BINS)
            axes.plot(
                [each.predicted for each in bins],
                [each.observed for each in bins],
                marker="o",
                markersize=3,
                label=name,
            )
        axes.set(title=f"back within {horizon} days", xlabel="predicted", xlim=(0, 1), ylim=(0, 1))
    figure.axes[0].set_ylabel("observed")
    figure.axes[0].legend()
    figure.savefig(plot)


def _customers(dates: Sequence[Sequence[int]], now: Sequence[int]) -> Customers:
    first = np.asarray([purchases[0] for purchases in dates]) / DAY
    newest = np.asarray([purchases[-1] for purchases in dates]) / DAY
    repeats = np.asarray([len(purchases) - 1 for purchases in dates], np.float64)
    return Customers(repeats, newest - first, np.asarray(now) / DAY - first)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("--since", help="drop invoices before this day")
    parser.add_argument("--every", type=int, help="days of the span between two fits")
    parser.add_argument("--models", default=",".join(MODELS), help="names, with commas between")
    parser.add_argument("--seeds", type=int, default=1, help="seeds that the network's figures are means of")
    parser.add_argument("--plot", type=Path, help="file of a chart of the reliability by horizon")
    arguments = parser.parse_args()
    if arguments.every is not None and arguments.every < 1:
        parser.error("--every takes a number of days, at least 1")
    main(
        arguments.path,
        parse_span(arguments.start, arguments.end),
        None if arguments.since is None else parse_instant(arguments.since),
        arguments.every,
        arguments.models.split(","),
        arguments.seeds,
        arguments.plot,
    )
