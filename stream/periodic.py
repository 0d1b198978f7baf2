"""Calls a function repeatedly in a separate thread, until the process stops."""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 1.0
"""How long ``stop`` waits for a call in progress."""


class PeriodicThread:
    """Calls a function every ``interval_s``, the first time after one interval.

    An exception is logged with its traceback, and the calls go on.

    Args:
        name: Of the thread.
        call: What is called.
        what: What the call does, the subject of the log line where it fails.
        interval_s: Time between two calls, in seconds.
        expected: Exceptions that are logged at DEBUG only, because their cause is reported elsewhere.
        at_end: Called once in the thread after the last call.

    Attributes:
        stopping: Set by ``stop``; a long call checks it.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[], None],
        what: str,
        *,
        interval_s: float,
        expected: tuple[type[Exception], ...] = (),
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.stopping = threading.Event()
        self._call = call
        self._what = what
        self._interval_s = interval_s
        self._expected = expected
        self._at_end = at_end
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a call in progress has ``JOIN_TIMEOUT_S`` to finish."""
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        while not self.stopping.wait(self._interval_s):
            try:
                self._call()
            except self._expected as error:
                logger.debug("%s failed: %s", self._what, error)
            except Exception:  # the thread must live as long as the process
                logger.exception("%s failed", self._what)
        self._at_end()
