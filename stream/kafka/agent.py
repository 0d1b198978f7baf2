"""The agent: micro-batches of raw bytes from the intake to the processor's thread, acknowledged whole.

Nothing may leave an agent: Faust acknowledges, and so loses, the events of one that raised. So a batch ends in one of
three ways: done and acknowledged; abandoned unacknowledged because the process is stopping; or, on an error nobody
expected, the process ends at once, unacknowledged, and its supervisor starts it anew.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from state.settings import Settings
from stream.errors import Stopped
from stream.kafka.faust_app import StreamApp, new_app
from stream.messages import Incoming

logger = logging.getLogger(__name__)

Process = Callable[[Sequence[Incoming]], None]
"""Processes a batch to its end; raises ``Stopped`` where the process is to end before that."""

MAX_BATCH_BYTES = 8 << 20
"""A batch of the largest events would not fit in memory; it ends here, whatever ``batch_max`` says."""


def create_app(settings: Settings, process: Process, die: Callable[[], None]) -> StreamApp:
    """Build the application and the agent that reads ``invoices`` (see ``run``); call it on the loop it will run on.

    Raises:
        SettingsError: No broker is set, or a certificate cannot be read.
    """
    app = new_app(settings)
    topic = app.topic(settings.topics.invoices, key_type=bytes, value_type=bytes)

    @app.agent(topic, name=settings.topics.invoices)
    async def invoices(stream: Any) -> None:
        # The stream subscribes to the topic by being there; its events come through the intake.
        await run(app, settings, process, die)
        # An agent that returned would be gone for good; one that waits is cancelled when the application stops.
        await asyncio.Event().wait()

    return app


async def run(app: StreamApp, settings: Settings, process: Process, die: Callable[[], None]) -> None:
    """Process batches until the intake is closed or the processor stops.

    ``die`` ends the process; it is called after an error nobody expected, and nothing is acknowledged after it.
    """
    # One thread, so that the batches of a worker follow each other; the loop stays free for heartbeats.
    thread = ThreadPoolExecutor(1, thread_name_prefix="processor")
    app.at_rest.clear()
    try:
        while await _one_batch(app, settings, process, thread):
            pass
    except asyncio.CancelledError:
        raise
    except BaseException:
        logger.critical("A batch cannot be processed; ending without acknowledging it", exc_info=True)
        die()
    finally:
        # Not waited for: a call that hangs in Redis must not keep the loop from leaving the group.
        thread.shutdown(wait=False, cancel_futures=True)
        app.at_rest.set()


async def _one_batch(app: StreamApp, settings: Settings, process: Process, thread: ThreadPoolExecutor) -> bool:
    """Take a batch, have it processed, acknowledge it; False when there is nothing more to do."""
    messages = await app.fetch_buffer.take(
        settings.batch_max, within_s=settings.batch_wait_ms / 1000, max_bytes=MAX_BATCH_BYTES
    )
    batch = [Incoming(m.value, m.key, m.topic, m.partition, m.offset, m.timestamp) for m in messages]
    if batch:
        try:
            await asyncio.get_running_loop().run_in_executor(thread, process, batch)
        except Stopped:
            logger.info("Stopping: a batch of %d is left to the next worker", len(batch))
            return False
        app.buffered_consumer.finished(messages)
    return bool(batch)
