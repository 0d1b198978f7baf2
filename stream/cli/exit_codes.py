"""Exit codes of ``nextbasket``, on which scripts can rely (the table is on docs/reference/commands.md)."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the end of a command means to the script that called it."""

    OK = 0
    """Done."""
    NEGATIVE = 1
    """Done, and the answer is no: nothing found, nothing promoted, differences seen."""
    USAGE = 2
    """The command line is wrong: an unknown command, option or value."""
    SETTINGS = 3
    """A setting (environment variable) or an installed package is missing or impossible."""
    DATA = 4
    """A file or table cannot be read, or has too little in it."""
    UNREACHABLE = 5
    """Kafka or Redis does not answer, or refuses."""
    REGISTRY = 6
    """The registry or a bundle in it cannot be used."""
    INTERNAL = 70
    """A mistake of this program (``EX_SOFTWARE`` of sysexits.h); NEXTBASKET_LOG_LEVEL=debug shows where."""
    INTERRUPTED = 130
    """Ended by Ctrl-C (128 + SIGINT)."""


class Failure(Exception):
    """Ends a command with an exit code and one sentence, which contains what the user can do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.NEGATIVE) -> None:
        super().__init__(message)
        self.code = code
