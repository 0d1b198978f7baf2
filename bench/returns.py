"""Print the Brier scores of the chance of a return: ``python -m bench.returns PATH 2011-06-01 2011-08-01``."""

import sys
from pathlib import Path

from state.settings import load_settings
from training.data.cleaning import clean
from training.data.datasets import load
from training.data.invoices import invoices
from training.evaluation.returning import brier
from training.evaluation.split import span


def main(path: str, start: str, end: str) -> None:
    """Judge the curves on the invoices from ``start`` to ``end`` (not included)."""
    log = invoices(clean(load(Path(path)), load_settings()))
    for horizon, score in brier(log, span(start, end)).items():
        print(f"{horizon:>3} days  {score:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
