"""Structured logs; set up only by an entry point."""

import logging
import sys

from state.settings import Settings

FOREIGN = ("faust", "mode", "aiokafka", "kafka", "asyncio", "fsspec", "stream.kafka.fetch_buffer")
"""Loggers of libraries (Faust's services log under the name of the module that derives from them)."""

SELF_ABSORBED = ("mode.timers", "stream.kafka.faust_app")
"""Loggers that warn of late timers and of rebalances in a row: an outage makes both, and is said itself."""

CHATTY = ("aiokafka", "kafka", "stream.kafka.config")
"""Loggers of clients that, in an outage, say the same many times a second."""

KINDS = 1_000
"""Kinds of messages remembered at most; a client may put what changes into the text itself."""


def configure_logging(settings: Settings) -> None:
    """Send logs to stderr: JSON lines, or plain ones where a person watches. For entry points only."""
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler()
    if console:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
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
    # Their news are about their own machinery, and ours says what matters of it.
    for name in SELF_ABSORBED:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in FOREIGN:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    handler.addFilter(RepeatFilter())


class RepeatFilter(logging.Filter):
    """Lets a message of a chatty client through once in a while, and everything else always."""

    def __init__(self, quiet_s: float = 30.0) -> None:
        super().__init__()
        self._quiet_s = quiet_s
        self._said: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is news."""
        if not record.name.startswith(CHATTY):
            return True
        if record.created - self._said.get(record.msg, -self._quiet_s) < self._quiet_s:
            return False
        if len(self._said) >= KINDS:
            self._said.clear()
        self._said[record.msg] = record.created
        return True
