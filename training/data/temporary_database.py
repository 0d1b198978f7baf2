"""A temporary database of SQLite, for what does not fit in memory."""

import sqlite3


class TemporaryDatabase(sqlite3.Connection):
    """A connection to a database of its own, in a file without a name that is gone with the process.

    What fits in SQLite's cache stays in memory. The connection closes when the last reference to it goes.
    """

    def __init__(self) -> None:
        super().__init__("", check_same_thread=False)
        self.execute("PRAGMA journal_mode = OFF")

    def __del__(self) -> None:
        self.close()
