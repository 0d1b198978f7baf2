"""A table as its file holds it, and the error for a damaged file."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from python_calamine import CalamineError

from training.data.errors import UnreadableTable

_READ_ERRORS: tuple[type[Exception], ...] = (
    *(CalamineError, pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError),
    *(EOFError, UnicodeError, OSError, csv.Error),
)


class RawTable(NamedTuple):
    """A table as its file holds it, with the columns that are read, and what the reader assumed (``notes``)."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


@contextmanager
def refuse_damaged(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn the errors of the libraries that read files into one sentence.

    Args:
        path: The file.
        errors: Further errors of the library that reads it.

    Raises:
        UnreadableTable: The file is damaged.
    """
    try:
        yield
    except _READ_ERRORS + errors as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableTable(
            f"{path} cannot be read as a table ({reason}). Check that the file is complete and has the format of its "
            "name."
        ) from error
