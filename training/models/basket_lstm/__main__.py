"""The other process of ``training.models.basket_lstm.beside``; nothing to call by hand."""

import sys
from pathlib import Path

from training.models.basket_lstm.beside import fit_here

if __name__ == "__main__":
    fit_here(Path(sys.argv[1]), int(sys.argv[2]))
