"""The worker: everything wired in one place, started, and ended in order."""

import asyncio
import errno
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from random import Random

from prometheus_client import start_http_server

from state.errors import SettingsError, StoreUnavailable
from state.settings import Settings
from state.store.redis.store import RedisStore
from stream.cli.exit_codes import ExitCode
from stream.errors import BrokerUnavailable, Stopped
from stream.kafka.agent import create_app
from stream.kafka.config import broker_list
from stream.kafka.faust_app import StreamApp
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import ensure_topics
from stream.monitoring import Metrics
from stream.pipeline.model_watcher import ModelWatcher
from stream.pipeline.processor import Processor
from stream.pipeline.retry import RetryPolicy
from training.registry import Registry
from training.serving.load import fallback_scorer, load_scorer

logger = logging.getLogger(__name__)

LAST_BATCH_S = 8.0
"""After SIGTERM, how long the batch in hand may take to finish; after that the next worker does it again."""
LEAVE_S = 5.0
"""After that, how long leaving the consumer group may take."""
CLOSE_S = 3.0
"""After that, how long everything else may take; then the process ends, whatever still hangs."""
LAG_EVERY_S = 5.0
_NOTICE_S = 0.2


def run_worker(settings: Settings) -> ExitCode:
    """Run until SIGTERM or SIGINT; waits for Redis and Kafka where they do not answer yet.

    Raises:
        SettingsError: No broker or no Redis is set, or a setting of theirs cannot be used.
        StoreRefused: Redis refuses us, for example our password.
    """
    broker_list(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    metrics = Metrics()
    retry = RetryPolicy(stop, Random(), metrics.outage)
    with ExitStack() as closes:
        if settings.metrics_port:
            closes.callback(_serve_metrics(settings, metrics))
        try:
            store = retry.call("Redis", lambda: RedisStore(settings), StoreUnavailable)
            closes.enter_context(closing(store))
            retry.call("Redis", store.now, StoreUnavailable)
            retry.call("Kafka", lambda: ensure_topics(settings, timeout_s=3.0), BrokerUnavailable)
        except Stopped:
            return ExitCode.OK
        publisher = closes.enter_context(closing(KafkaPublisher(settings, stop)))
        registry = Registry(settings.registry_url, cache=settings.cache)
        models = ModelWatcher(registry, load_scorer, fallback_scorer(), metrics, poll_s=settings.registry_poll_seconds)
        processor = Processor(
            settings=settings,
            store=store,
            publisher=publisher,
            scorer=lambda: models.scorer,
            fallback=fallback_scorer(),
            retry=retry,
            metrics=metrics,
        )

        models.start()
        closes.callback(models.stop)
        code = asyncio.run(serve(lambda: create_app(settings, processor.process, die), stop, metrics))
    return finish(code)


def finish(code: ExitCode) -> ExitCode:
    """Return the exit code; where a thread is left that the interpreter would wait for, end the process with it.

    That is the processor's in a call that no stop event reaches, or the one of Faust's consumer, which nobody ends when
    the application is stopped in the middle of its start.
    """
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        _exit(code)
    return code


def die() -> None:
    """End the process at once after an error that nobody expected: nothing is acknowledged after it."""
    _exit(ExitCode.INTERNAL)


def _exit(code: ExitCode) -> None:
    logging.shutdown()
    os._exit(code)


def _exit_within(seconds: float, code: ExitCode) -> None:
    """End the process after that time, unless it ended by then; also where its event loop is blocked."""

    def end() -> None:
        logger.warning("Something does not end %.0f s after it was told to; ending without it", seconds)
        _exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _serve_metrics(settings: Settings, metrics: Metrics) -> Callable[[], None]:
    """Serve the metrics over HTTP; returns what ends it. Where the port is taken, on a free one: it is a sibling's."""
    try:
        server, _ = start_http_server(settings.metrics_port, settings.metrics_host, metrics.registry)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise SettingsError(f"NEXTBASKET_METRICS_HOST or _PORT cannot be used: {error}.") from error
        server, _ = start_http_server(0, settings.metrics_host, metrics.registry)
        logger.warning("Port %d is taken; metrics are on %d", settings.metrics_port, server.server_port)

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


async def serve(build: Callable[[], StreamApp], stop: threading.Event, metrics: Metrics) -> ExitCode:
    """Run the application that ``build`` makes until a signal or until it breaks; sets ``stop`` for the processor.

    The last thing a process does: what still runs some seconds after it was told to end is ended with the process.
    """
    app = build()
    stopping = asyncio.Event()

    def end() -> None:
        stop.set()
        app.fetch_buffer.close()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    if stop.is_set():
        end()
    starting = asyncio.ensure_future(app.start())
    watching = asyncio.ensure_future(_report_lag(app, metrics))
    logger.info("Worker started, group %s", app.conf.id)
    broken = None
    while not stopping.is_set() and broken is None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _NOTICE_S)
        broken = _breakage(app, starting)
    told = stopping.is_set()
    if not told:
        logger.critical("The consumer broke and the worker ends: %r", broken)
    end()
    code = ExitCode.OK if told else ExitCode.UNREACHABLE
    # Faust waits for its consumer's thread on the loop itself, where no timeout of the loop's can fire.
    _exit_within(LAST_BATCH_S + LEAVE_S + CLOSE_S, code)
    watching.cancel()
    await _end_in_order(app, starting)
    logger.info("Worker ended")
    return code


def _breakage(app: StreamApp, starting: "asyncio.Future[None]") -> BaseException | None:
    """What broke the application, if anything did: its start, one of its services, or the group's coordination."""
    if starting.done() and (failed := starting.exception()) is not None:
        return failed
    if app.crashed:
        return app.crash_reason or RuntimeError("a service of the application crashed")
    try:
        app.buffered_consumer.check()
    except Exception as error:  # a KafkaError, or whatever ended the task
        return error
    return None


async def _end_in_order(app: StreamApp, starting: "asyncio.Future[None]") -> None:
    """Let the batch in hand finish, commit it, leave the group; each for a limited time."""
    try:
        async with asyncio.timeout(LAST_BATCH_S):
            await app.at_rest.wait()
    except TimeoutError:
        logger.warning("The batch in hand does not end; it is left to the next worker")
    starting.cancel()
    # With Kafka away, aiokafka's tasks fall over each other from here on; they are going anyway.
    threading.excepthook = lambda args: logger.debug("%s fell over: %r", args.thread, args.exc_value)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        async with asyncio.timeout(LEAVE_S):
            await app.stop()
    except TimeoutError:
        logger.warning("Leaving the consumer group takes too long; Kafka will notice by itself")
    except Exception as error:  # whatever a broken connection raises now changes nothing
        logger.warning("Leaving the consumer group failed: %r", error)


async def _report_lag(app: StreamApp, metrics: Metrics) -> None:
    while True:
        await asyncio.sleep(LAG_EVERY_S)
        with suppress(Exception):  # between two assignments there is nothing to measure
            for tp, events in app.buffered_consumer.lag().items():
                metrics.lag(tp.partition, events)
