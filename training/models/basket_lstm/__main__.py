"""The other process of ``training.models.basket_lstm.subprocess_fit``; not to be called by hand."""

import sys
from pathlib import Path

from training.models.basket_lstm.subprocess_fit import fit_in_subprocess

if __name__ == "__main__":
    fit_in_subprocess(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
