"""Structured logs; set up only by an entry point."""

import logging
import sys

from state.settings import Settings
from stream.cli.log_lines import LineFormatter

WARNINGS_ONLY = (
    "faust",
    "mode",
    "aiokafka",
    "kafka",
    "asyncio",
    "fsspec",
    "stream.kafka.buffered_consumer",
    "stream.kafka.consumer_thread",
)
"""Loggers of libraries. A service of Faust logs under the name of the module that derives from its class."""

ERRORS_ONLY = ("mode.timers", "stream.kafka.faust_app", "kafka.net.selector")
"""Loggers that warn of delayed timers and repeated rebalances, which every outage causes and the worker logs itself,
and of slow steps within kafka-python, such as decompressing a large fetch."""

REPETITIVE = ("aiokafka", "kafka", "stream.kafka.config")
"""Loggers of clients that repeat a message many times a second during an outage."""

MAX_MESSAGES = 1_000
"""Messages whose time is stored; a client may put a changing value into the message itself."""


def configure_logging(settings: Settings, *, only_if_level_set: bool = False) -> None:
    """Send logs to standard error, as JSON lines or, on a terminal, as plain ones. For entry points only.

    Args:
        settings: The level and the format.
        only_if_level_set: Do nothing without NEXTBASKET_LOG_LEVEL. For commands that print their results for people.
    """
    if only_if_level_set and "log_level" not in settings.model_fields_set:
        return
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler()
    if console:
        handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    else:
        from pythonjsonlogger.json import JsonFormatter

        handler.setFormatter(
            JsonFormatter(
                "%(asctime)s %(levelname)s %(name)s %(message)s",
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
                datefmt="%Y-%m-%dT%H:%M:%S%z",
            )
        )
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in ERRORS_ONLY:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in WARNINGS_ONLY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    handler.addFilter(RepeatFilter())


class RepeatFilter(logging.Filter):
    """Drops a message of a repetitive logger that came within the last ``interval_s``; passes all others."""

    def __init__(self, interval_s: float = 30.0) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._last_logged: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if not record.name.startswith(REPETITIVE):
            return True
        if record.created - self._last_logged.get(record.msg, -self._interval_s) < self._interval_s:
            return False
        if len(self._last_logged) >= MAX_MESSAGES:
            self._last_logged.clear()
        self._last_logged[record.msg] = record.created
        return True
