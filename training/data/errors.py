"""Everything ``training.data`` raises on purpose.

DataError
├── NoTable            there is no table at the path, or more than one to choose from
├── UnreadableTable    the file is no table, damaged, or of a format that is not read
├── MissingColumns     the table lacks columns that are needed
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


class WrongContent(DataError):
    """What was downloaded is not the table it should be; nothing of it was kept."""


class DownloadFailed(DataError):
    """The server cannot be reached, has no such file, or broke off; nothing was kept."""
