"""The demo's data and models: the log of invoices, its split, a short training, the baseline."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from state.events.invoice import Invoice
from state.events.shop_dialect import shop_dialect
from state.settings import Settings, load_settings
from stream.cli.exit_codes import ExitCode, Failure
from stream.demo.console import TaskProgress, progress_bar

if TYPE_CHECKING:
    from training.serving.scorer import Scorer

MODEL = "basket_lstm"
MODEL_OPTIONS = {"max_examples": 1_500, "epochs": 4, "whole": False}
"""A short training, so that the first recommendation comes soon."""

BASELINE = "gp_topfreq"

MIN_INVOICES = 100


def read_log(data: Path | None, print_step: Callable[[str], None]) -> tuple[list[Invoice], str]:
    """The cleaned log of invoices, and the dialect of the table.

    Args:
        data: The table; else the first of those that ``training.data.sources`` finds.
        print_step: Prints a sentence about the data.

    Raises:
        DataError: The data cannot be read.
    """
    from training.data.cleaning.clean import clean, shop_dialect_of
    from training.data.cleaning.invoices import invoices
    from training.data.sources.source import find_source

    settings = load_settings()
    source = find_source(settings, data, progress=True)
    print_step(source.sentence)
    dialect = shop_dialect_of(source.table, settings).name
    # As if the user had set it: the demo's worker runs in the dialect of the table, so there is nothing to decide.
    cleaned = clean(source.table, settings.model_copy(update={"dialect": dialect}), clock=int(time.time()))
    for line in cleaned.ledger.reading.lines():
        print_step(line)
    log = invoices(cleaned)
    print_step(
        f"Lines: {cleaned.ledger.purchase_lines:,} bought, {cleaned.ledger.return_lines:,} returned; "
        f"{cleaned.ledger.customers:,} customers, {cleaned.ledger.items:,} items."
    )
    return log, dialect


def split_log(log: Sequence[Invoice], events: int) -> tuple[Sequence[Invoice], Sequence[Invoice]]:
    """Invoices to train on, and the newest ones to replay: ``events`` of them, but at most a tenth of the log.

    Invoices of one date are all replayed, so that the training ends before the first invoice that is.

    Raises:
        Failure: The log is too short.
    """
    if len(log) < MIN_INVOICES:
        raise Failure(f"{len(log)} invoices are too few for a demo; give --data a larger table.", ExitCode.DATA)
    cut = len(log) - min(events, len(log) // 10)
    while cut > 1 and log[cut - 1].date == log[cut].date:
        cut -= 1
    return log[:cut], log[cut:]


def train_model(log: Sequence[Invoice], until: int, settings: Settings, folder: Path, console: Console) -> str:
    """Fit on the invoices before ``until``, publish and promote; returns the version.

    Raises:
        TrainingError: There are too few of them.
    """
    from training.models import make_model
    from training.progress import shown_by
    from training.registry import Registry

    model = make_model(MODEL, **MODEL_OPTIONS)
    with progress_bar(console) as bar, shown_by(TaskProgress(bar, "training")):
        fitted = model.fit(log, until=until, seed=settings.seed)
    bundle = folder / "bundle"
    bundle.mkdir()
    fitted.save(bundle)
    registry = Registry(settings.registry_url)
    version = registry.publish(
        bundle,
        name=MODEL,
        data_from=datetime.fromtimestamp(log[0].date, UTC),
        data_until=datetime.fromtimestamp(until, UTC),
        metrics={},
        created=datetime.now(UTC),
        dialect=shop_dialect(settings),
    )
    registry.promote(version, at=datetime.now(UTC))
    return version


def fit_baseline(log: Sequence[Invoice]) -> "Scorer":
    """The scorer of the baseline, fitted on the whole log."""
    from training.models import make_model

    return make_model(BASELINE).fit(log, until=log[-1].date + 1, seed=0).scorer
