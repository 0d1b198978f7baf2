"""The Faust agent: passes batches of records from the fetch buffer to the processor's thread, and acknowledges them.

An agent must not raise: Faust would acknowledge, and so lose, the events in hand. So a batch ends in one of three ways:
it is processed and acknowledged; it is left unacknowledged because the worker stops; or, on an unexpected error, the
process exits at once without acknowledging it, and its supervisor restarts it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from faust.types import ConsumerMessage

from state.settings import Settings
from stream.errors import Stopped
from stream.kafka.faust_app import StreamApp, new_app
from stream.messages import Incoming, IncomingHeaders
from stream.pipeline.settling import Settling

logger = logging.getLogger(__name__)

Process = Callable[[Sequence[Incoming]], None]
"""Processes a batch to its end; raises ``Stopped`` where the worker stops before that."""

Refresh = Callable[[frozenset[int]], float]
"""Does a portion of other work for the partitions assigned now; returns the seconds until it is called again."""

MAX_BATCH_BYTES = 2 << 20
"""Bound of a batch in bytes, whatever ``batch_max`` is: one call of Redis writes all that a customer gets of it."""


def create_app(
    settings: Settings,
    process: Process,
    exit_process: Callable[[BaseException], None],
    refresh: Refresh | None = None,
    settling: Settling | None = None,
) -> StreamApp:
    """Build the application and the agent that reads ``invoices`` (see ``run``); call it on the loop it will run on.

    Raises:
        SettingsError: No broker is set, or a certificate cannot be read.
    """
    app = new_app(settings)
    topic = app.topic(settings.topics.invoices, key_type=bytes, value_type=bytes)

    @app.agent(topic, name=settings.topics.invoices)
    async def invoices(stream: Any) -> None:
        # The agent subscribes to the topic; its records arrive through the fetch buffer.
        await run(app, settings, process, exit_process, refresh, settling)
        # Faust does not restart an agent that returned; a waiting one is cancelled when the application stops.
        await asyncio.Event().wait()

    return app


async def run(
    app: StreamApp,
    settings: Settings,
    process: Process,
    exit_process: Callable[[BaseException], None],
    refresh: Refresh | None = None,
    settling: Settling | None = None,
) -> None:
    """Process batches until the fetch buffer is closed or the processor stops.

    ``exit_process`` is called with an unexpected error; nothing is acknowledged after it. ``refresh`` is called in the
    same thread between two batches, or while there is none. ``process`` is called without records for what has settled.
    """
    # One thread: batches are processed one after the other, and the event loop stays free for heartbeats.
    thread = ThreadPoolExecutor(1, thread_name_prefix="processor")
    app.idle.clear()
    batches = _Batches(app, settings, process, thread, settling or Settling(0.0))
    try:
        at = asyncio.get_running_loop().time()
        while True:
            if refresh is not None:
                at = await _refresh_when_due(app, settings, refresh, thread, at)
            if not await batches.next(None if refresh is None else at):
                break
        await batches.settle()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        exit_process(error)
    finally:
        # Do not wait: a call that hangs in Redis must not keep the event loop from leaving the consumer group.
        thread.shutdown(wait=False, cancel_futures=True)
        app.idle.set()


def _headers(message: ConsumerMessage) -> IncomingHeaders:
    # Faust's type also allows a mapping, which is for what it sends; aiokafka has pairs.
    return tuple(cast(Iterable[tuple[str, bytes | None]], message.headers or ()))


async def _refresh_when_due(
    app: StreamApp, settings: Settings, refresh: Refresh, thread: ThreadPoolExecutor, at: float
) -> float:
    """Do a portion of the refresh where its time has come; returns the time of the next, on the loop's clock."""
    loop = asyncio.get_running_loop()
    if loop.time() < at:
        return at
    assigned = frozenset(
        each.partition for each in app.buffered_consumer.assignment() if each.topic == settings.topics.invoices
    )
    try:
        pause = await loop.run_in_executor(thread, refresh, assigned)
    except Stopped:  # the next batch finds the buffer closed
        return loop.time() + 1.0
    return loop.time() + pause


class _Batches:
    """Takes batches from the buffer, has them processed, and acknowledges what is answered."""

    def __init__(
        self, app: StreamApp, settings: Settings, process: Process, thread: ThreadPoolExecutor, settling: Settling
    ) -> None:
        self._app = app
        self._settings = settings
        self._process = process
        self._thread = thread
        self._settling = settling
        self._stopped = False

    async def next(self, until: float | None) -> bool:
        """Process a batch, where one comes ``until`` then, and what has settled; False when there is none any more."""
        settles_in = self._settling.next_in()
        if settles_in is not None:
            settles_at = asyncio.get_running_loop().time() + settles_in
            until = settles_at if until is None else min(until, settles_at)
        try:
            async with asyncio.timeout_at(until):
                messages = await self._app.fetch_buffer.next_batch(
                    self._settings.batch_max,
                    max_wait_s=self._settings.batch_wait_ms / 1000,
                    max_bytes=MAX_BATCH_BYTES,
                )
        except TimeoutError:
            return settles_in is None or self._settling.next_in() != 0.0 or await self._run([])
        return bool(messages) and await self._run(messages)

    async def settle(self) -> None:
        """Answer whoever still waits, before the last offsets are committed."""
        self._settling.end()
        if not self._stopped and self._settling.next_in() is not None:
            await self._run([])

    async def _run(self, messages: list[ConsumerMessage]) -> bool:
        batch = [Incoming(m.value, m.key, m.topic, m.partition, m.offset, m.timestamp, _headers(m)) for m in messages]
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._process, batch)
        except Stopped:
            logger.info("The worker stops; a batch of %d is left to the next worker", len(batch))
            self._stopped = True
            return False
        self._app.buffered_consumer.mark_processed(messages, self._settling.first_offsets())
        return True
