"""Reads the files of a bundle: arrays without pickle, and one error whatever is wrong with a file."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.registry import BundleRefused
from training.registry.bundle import MAX_BUNDLE_BYTES

_DAMAGED = (
    *(OSError, EOFError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError),
    MemoryError,  # an array claims a shape that no machine has
    *(zipfile.BadZipFile, zlib.error, msgspec.MsgspecError),
)
"""What a file of unknown origin can raise where it is read or used."""


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Turns any error of reading a bundle's files into ``BundleRefused``.

    Raises:
        BundleRefused: A file is missing, damaged or of another kind.
    """
    try:
        yield
    except _DAMAGED as error:
        raise BundleRefused(f"The bundle {folder} cannot be read ({error}). Publish it again.") from None


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file; opened here, since NumPy leaves a damaged one open.

    Raises:
        ValueError: They unpack to more than a bundle may have, or one is no array of numbers.
        OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error: The file is damaged.
    """
    with zipfile.ZipFile(path) as members:
        unpacked = sum(member.file_size for member in members.infolist())
    if unpacked > MAX_BUNDLE_BYTES:
        raise ValueError(f"{path.name} unpacks to {unpacked:,} bytes, and a bundle has {MAX_BUNDLE_BYTES:,} at most")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
