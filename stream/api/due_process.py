"""A process that orders the customers who are due, so that no other request waits for the interpreter meanwhile."""

import logging
import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from state.errors import StateError, StoreUnavailable
from state.events.shop_dialect import shop_dialect
from state.settings import Settings
from state.store.redis.due_index import RedisDueIndex
from state.store.redis.store import RedisStore
from stream.api.due_reader import DueReader, NotReady, OrderQuestion, ReadOrder
from stream.cli.registry import open_registry
from training.serving.load import fallback_scorer, load_scorer
from training.serving.scorer import Scorer

logger = logging.getLogger(__name__)

START_S = 30.0
"""How long the process may take to start and to answer, in addition to the wait for an order."""
IDLE_S = 60.0
"""After so long without a question, the process releases the memory of what it read."""


class DueProcess:
    """Starts the process with the first question, and again after it died; to be asked by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started: tuple[SpawnProcess, Connection] | None = None

    def ask(self, question: OrderQuestion, wait_s: float) -> ReadOrder | NotReady:
        """The answer, or ``NotReady`` after some seconds.

        Raises:
            StateError: The store or the model cannot be used, or the process died.
        """
        try:
            connection = self._connection()
            connection.send((question, wait_s))
            if not connection.poll(wait_s + START_S):
                raise TimeoutError
            answer: ReadOrder | NotReady | StateError = connection.recv()
        except (OSError, EOFError) as error:  # a TimeoutError is one
            self.close()
            logger.error("The process that orders who is due ended or hung (%r); the next question starts it", error)
            raise StoreUnavailable("Who is due cannot be ordered now: its process ended. Ask again.") from error
        if isinstance(answer, StateError):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        if self._started is not None:
            process, connection = self._started
            self._started = None
            connection.close()
            process.kill()
            process.join()
            process.close()

    def _connection(self) -> Connection:
        if self._started is None or not self._started[0].is_alive():
            self.close()
            context = multiprocessing.get_context("spawn")
            connection, child = context.Pipe()
            process = context.Process(target=_serve, args=(child, self._settings), name="due", daemon=True)
            process.start()
            child.close()  # so that the end of either process ends the pipe
            self._started = process, connection
        return self._started[1]


def _serve(connection: Connection, settings: Settings) -> None:
    """Answer questions until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; the other process ends this one
    os.nice(10)
    reader = DueReader(lambda: RedisStore(settings), lambda: RedisDueIndex(settings), _Scorers(settings).of)
    with suppress(EOFError, OSError):
        while True:
            if not connection.poll(IDLE_S):
                reader.forget()
                continue
            question, wait_s = connection.recv()
            answer: ReadOrder | NotReady | StateError
            try:
                answer = reader.ask(question, wait_s)
            except StateError as error:
                answer = StoreUnavailable(str(error)) if isinstance(error, StoreUnavailable) else StateError(str(error))
            except Exception as error:
                logger.exception("Who is due cannot be ordered")
                answer = StateError(f"Who is due cannot be ordered: {error}")
            connection.send(answer)
    os._exit(0)  # without the order that may be in work


class _Scorers:
    """Loads the scorer of a version, and holds the last one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scorer: Scorer = fallback_scorer()

    def of(self, version: str) -> Scorer:
        """The scorer of a version.

        Raises:
            StateError: The registry or the bundle cannot be used.
        """
        if self._scorer.version != version:
            fallback = fallback_scorer()
            if fallback.version == version:
                self._scorer = fallback
            else:
                settings = self._settings
                registry = open_registry(settings)
                self._scorer = load_scorer(registry.open(version), shop_dialect(settings))
        return self._scorer
