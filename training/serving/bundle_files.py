"""Reads the files of a bundle: arrays without pickle, and one error whatever is wrong with a file."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.registry import BundleRefused


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Turns any error of reading a bundle's files into ``BundleRefused``.

    Raises:
        BundleRefused: A file is missing, damaged or of another kind.
    """
    try:
        yield
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
        raise BundleRefused(f"The bundle {folder} cannot be read ({error}). Publish it again.") from None


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file; opened here, since NumPy leaves a damaged one open."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
