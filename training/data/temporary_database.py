"""Temporary database: SQLite in a file without a name, for data that exceeds memory."""

import sqlite3


class TemporaryDatabase(sqlite3.Connection):
    """A connection to a new, empty database in a file that ends with the process.

    Data that fits in SQLite's cache stays in memory. The connection is closed with the last reference to it.
    """

    def __init__(self) -> None:
        super().__init__("", check_same_thread=False)
        self.execute("PRAGMA journal_mode = OFF")

    def __del__(self) -> None:
        self.close()
