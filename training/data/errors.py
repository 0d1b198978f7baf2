"""The errors of ``training.data``.

DataError
├── NoTable            there is no table at the path, or more than one to choose from
├── UnreadableTable    the file is no table, damaged, or of another format
├── MissingColumns     the table lacks columns that are needed
├── UnclearDates       no date shows whether day or month comes first, or dates contradict each other
├── UnclearNumbers     no number shows whether a point or a comma is the decimal mark
├── BrokenReference    a key in a file of the case study is missing or repeated
├── NothingLeft        the table is empty, or cleaning leaves no purchase
├── WrongContent       the download is not the table it should be
└── DownloadFailed     the server cannot be reached, has no such file, or closed the connection
"""

from collections.abc import Iterable


class DataError(Exception):
    """Base of the errors of this package; the message names the next step."""


class NoTable(DataError):
    """There is no table at the path, or more than one to choose from."""


class UnreadableTable(DataError):
    """The file is no table, damaged, or of another format."""


class MissingColumns(DataError):
    """The table lacks columns that are needed; the message lists those found.

    Attributes:
        found: The cells that were taken for the names of columns.
    """

    def __init__(self, message: str, found: Iterable[str] = ()) -> None:
        """Take the message and the cells."""
        super().__init__(message)
        self.found = tuple(found)


class UnclearDates(DataError):
    """No date shows whether day or month comes first, or dates contradict each other; the message shows examples."""


class UnclearNumbers(DataError):
    """No number shows whether a point or a comma is the decimal mark; the message names the setting."""


class BrokenReference(DataError):
    """A key in a file of the case study is missing or repeated; the message names the file and the key."""


class NothingLeft(DataError):
    """The table is empty, or cleaning leaves no purchase; the message names the rule that left out most rows."""


class WrongContent(DataError):
    """The download is not the table it should be; it was not saved."""


class DownloadFailed(DataError):
    """The server cannot be reached, has no such file, or closed the connection; nothing was saved."""
