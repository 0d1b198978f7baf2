"""Runs the application of a worker until a signal or a failure, and ends the process in time, whatever hangs."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

from state.errors import StateError
from stream.cli.exit_codes import ExitCode
from stream.kafka.faust_app import StreamApp
from stream.monitoring import Metrics

logger = logging.getLogger(__name__)

LAST_BATCH_TIMEOUT_S = 8.0
"""After SIGTERM, how long the current batch may take; after that it is left to the next worker."""
LEAVE_GROUP_TIMEOUT_S = 5.0
"""After that, how long leaving the consumer group may take."""
CLOSE_TIMEOUT_S = 3.0
"""After that, how long everything else may take; then the process exits, whatever still hangs."""
LAG_INTERVAL_S = 5.0
_HEALTH_CHECK_INTERVAL_S = 0.2


async def run_app(
    build: Callable[[], StreamApp], stop: threading.Event, metrics: Metrics, beat: Callable[[], None] = lambda: None
) -> ExitCode:
    """Run the application that ``build`` returns until a signal or until it fails; then set ``stop``.

    ``beat`` is called several times a second on the event loop while the application runs.

    To be the last call of a process: the process exits some seconds later, even if the shutdown hangs.
    """
    app = build()
    stopping = asyncio.Event()

    def shut_down() -> None:
        stop.set()
        app.fetch_buffer.close()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, shut_down)
    if stop.is_set():
        shut_down()
    starting = asyncio.ensure_future(app.start())
    lag_task = asyncio.ensure_future(_report_lag(app, metrics))
    logger.info("Worker started, group %s", app.conf.id)
    failure = None
    while not stopping.is_set() and failure is None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _HEALTH_CHECK_INTERVAL_S)
        beat()
        failure = _failure(app, starting)
    stopped_by_signal = stopping.is_set()
    if not stopped_by_signal:
        logger.critical("The consumer failed and the worker ends: %r", failure)
    shut_down()
    code = ExitCode.OK if stopped_by_signal else ExitCode.UNREACHABLE
    # Faust waits for its consumer's thread in the event loop and blocks it, so that no asyncio timeout can fire.
    _exit_after(LAST_BATCH_TIMEOUT_S + LEAVE_GROUP_TIMEOUT_S + CLOSE_TIMEOUT_S, code)
    lag_task.cancel()
    await _stop_app(app, starting)
    logger.info("Worker ended")
    return code


def _failure(app: StreamApp, starting: "asyncio.Future[None]") -> BaseException | None:
    """The error that stopped the application, if any: of its start, a service, or the group's coordination."""
    if starting.done() and (error := starting.exception()) is not None:
        return error
    if app.crashed:
        return app.crash_reason or RuntimeError("a service of the application crashed")
    try:
        app.buffered_consumer.check()
    except Exception as error:  # a KafkaError, or any error that ended the task
        return error
    return None


async def _stop_app(app: StreamApp, starting: "asyncio.Future[None]") -> None:
    """Wait for the current batch, commit it and leave the group, each within its timeout."""
    try:
        async with asyncio.timeout(LAST_BATCH_TIMEOUT_S):
            await app.idle.wait()
    except TimeoutError:
        logger.warning("The current batch takes too long; it is left to the next worker")
    starting.cancel()
    # While Kafka is unavailable, aiokafka's tasks fail one after the other from here on, which is of no interest.
    threading.excepthook = lambda args: logger.debug("%s failed: %r", args.thread, args.exc_value)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        async with asyncio.timeout(LEAVE_GROUP_TIMEOUT_S):
            await app.stop()
    except TimeoutError:
        logger.warning("Leaving the consumer group takes too long; Kafka removes the worker after the session timeout")
    except Exception as error:  # errors of a broken connection have no effect any more
        logger.warning("Leaving the consumer group failed: %r", error)


async def _report_lag(app: StreamApp, metrics: Metrics) -> None:
    while True:
        await asyncio.sleep(LAG_INTERVAL_S)
        with suppress(Exception):  # between two assignments there is no lag
            for tp, events in app.buffered_consumer.lag().items():
                metrics.lag(tp.partition, events)


def exit_if_threads_hang(code: ExitCode) -> ExitCode:
    """Return the exit code; exit the process where a thread is left that the interpreter would wait for.

    That may be the processor's thread in a call that the stop event does not reach, or the thread of Faust's consumer,
    which Faust does not end when the application is stopped while it starts.
    """
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        _exit(code)
    return code


def exit_process(error: BaseException) -> None:
    """Exit at once, because a batch cannot be processed; nothing is acknowledged after it."""
    refused = isinstance(error, StateError)
    logger.critical(
        "A batch cannot be processed; the worker exits without acknowledging it: %s",
        error if refused else repr(error),
        exc_info=None if refused else error,
    )
    _exit(ExitCode.UNREACHABLE if refused else ExitCode.INTERNAL)


def _exit(code: ExitCode) -> None:
    logging.shutdown()
    os._exit(code)


def _exit_after(seconds: float, code: ExitCode) -> None:
    """Exit the process after this time if it still runs, also where its event loop is blocked."""

    def end() -> None:
        logger.warning("The shutdown takes longer than %.0f s; exiting at once", seconds)
        _exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
