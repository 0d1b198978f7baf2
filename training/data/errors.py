"""Everything ``training.data`` raises on purpose.

DataError
├── NoTable            there is no table at the path, or more than one to choose from
├── UnreadableTable    the file is no table, damaged, or of a format that is not read
├── MissingColumns     the table lacks columns that are needed
├── UnclearDates       nothing tells whether day or month comes first, or dates of both kinds are there
├── BrokenReference    a key in a file of the case study is missing or twice
├── NothingLeft        the table is empty, or cleaning leaves no purchase
├── WrongContent       what was downloaded is not the table it should be
└── DownloadFailed     the server cannot be reached, has no such file, or broke off
"""


class DataError(Exception):
    """Base of everything this package raises on purpose; the message says what to do next."""


class NoTable(DataError):
    """There is no table at the path, or more than one to choose from."""


class UnreadableTable(DataError):
    """The file is no table, damaged, or of a format that is not read."""


class MissingColumns(DataError):
    """The table lacks columns that are needed; the message says which there are."""


class UnclearDates(DataError):
    """Nothing tells whether day or month comes first, or dates of both kinds are there; the message shows them."""


class BrokenReference(DataError):
    """A key of one file of a data set is missing or twice; the message names the file and the key."""


class NothingLeft(DataError):
    """The table is empty, or cleaning leaves no purchase; the message says which rule took the most."""


class WrongContent(DataError):
    """What was downloaded is not the table it should be; nothing of it was kept."""


class DownloadFailed(DataError):
    """The server cannot be reached, has no such file, or broke off; nothing was kept."""
