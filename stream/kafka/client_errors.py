"""The errors that Kafka's clients log in an outage, taken out of the log: the worker logs an outage once."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

CLIENTS = ("aiokafka", "stream.kafka.config")
"""Loggers of Faust's client and of confluent-kafka; they repeat themselves many times a second."""

NO_OUTAGE = ("aiokafka.conn",)
"""Loggers of aiokafka that do not log outages, but a password that is sent in the clear, for example."""

RECENT_S = 60.0


class ClientErrors(logging.Handler):
    """Takes the log lines of the clients, and returns the last of them as the reason of an outage.

    A line with a traceback is a mistake somewhere, and goes on to the handlers of the root logger.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last = ""
        self._logged_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Store the line, or pass it on."""
        if record.exc_info or record.name in NO_OUTAGE:
            logging.getLogger().handle(record)
            return
        self._last = " ".join(record.getMessage().split())
        self._logged_at = time.monotonic()

    def recent(self) -> str:
        """The last line, where it is not older than a minute."""
        return self._last if time.monotonic() - self._logged_at < RECENT_S else ""


@contextmanager
def client_errors() -> Iterator[ClientErrors]:
    """Take the lines of the clients while the context lasts; at level DEBUG they stay in the log too."""
    taken = ClientErrors()
    loggers = [logging.getLogger(name) for name in CLIENTS]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(taken)
        logger.propagate = logging.getLogger().isEnabledFor(logging.DEBUG)
    try:
        yield taken
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(taken)
            logger.propagate = propagate
