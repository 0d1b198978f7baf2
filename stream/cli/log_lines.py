"""Log lines for people: one for each message, whatever is in it. Loads nothing but the standard library."""

import logging
from typing import Any


class LineFormatter(logging.Formatter):
    """One line for each message, with control characters escaped; lines of a traceback are indented.

    Messages name ids, codes and errors that come from elsewhere. So none of them can begin a new line that
    looks like one of the program, or send a command to the terminal.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line of a record."""
        from state.events.control_characters import escape_control

        record.message = escape_control(record.message.rstrip())
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The lines of a traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """The lines of a stack."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    from state.events.control_characters import escape_control

    return "\n".join(f"    {escape_control(line)}" for line in text.split("\n"))


def escape_last_resort() -> None:
    """Escape control characters in the warnings that Python prints where no logging is configured."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(LineFormatter("%(message)s"))
