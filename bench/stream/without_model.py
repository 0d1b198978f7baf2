"""(b) and (e): the worker without a model, and its processor without Faust.

Run as ``python -m bench.stream.without_model with-faust|without-faust`` with the settings of the worker.
"""

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from random import Random
from signal import SIGTERM, signal

from confluent_kafka import Consumer, TopicPartition
from prometheus_client import start_http_server

from bench.stream.recent_scorer import RecentScorer
from state.settings import Settings, load_settings
from state.store.redis.store import RedisStore
from stream.cli.logging_setup import configure_logging
from stream.kafka.agent import create_app
from stream.kafka.config import confluent_config
from stream.kafka.faust_app import StreamApp
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import ensure_topics
from stream.messages import Incoming
from stream.monitoring import Metrics
from stream.pipeline.processor import Processor
from stream.pipeline.retry import RetryPolicy
from stream.worker_process import exit_process, run_app


def run(settings: Settings, work: Callable[[Settings, Processor, threading.Event, Metrics], None]) -> None:
    """Build a processor without a model, and let ``work`` feed it."""
    stop, metrics = threading.Event(), Metrics()
    with ExitStack() as closes:
        store = closes.enter_context(closing(RedisStore(settings)))
        publisher = closes.enter_context(closing(KafkaPublisher(settings, stop)))
        scorer = RecentScorer()
        processor = Processor(
            settings=settings,
            store=store,
            publisher=publisher,
            scorer=lambda: scorer,
            fallback=scorer,
            retry=RetryPolicy(stop, Random(1)),
            metrics=metrics,
        )
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, metrics.registry)
        closes.callback(thread.join)
        closes.callback(server.server_close)
        closes.callback(server.shutdown)
        ensure_topics(settings)
        work(settings, processor, stop, metrics)


def with_faust(settings: Settings, processor: Processor, stop: threading.Event, metrics: Metrics) -> None:
    """Feed the processor by the worker's Faust application."""

    def build() -> StreamApp:
        app = create_app(settings, processor.process, exit_process)
        app.fetch_buffer.on_stage = metrics.stage_took
        return app

    asyncio.run(run_app(build, stop, metrics))


def without_faust(settings: Settings, processor: Processor, stop: threading.Event, metrics: Metrics) -> None:
    """Feed the processor by a loop: consume, process, commit."""
    signal(SIGTERM, lambda *_: stop.set())
    consumer = Consumer(
        confluent_config(
            settings, **{"group.id": settings.group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        )
    )
    consumer.subscribe([settings.topics.invoices])
    while not stop.is_set():
        batch = []
        for message in consumer.consume(settings.batch_max, settings.batch_wait_ms / 1000):
            if message.error() is None:
                topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
                _, timestamp = message.timestamp()
                batch.append(Incoming(message.value(), message.key(), topic, partition, offset, timestamp / 1000))
        if batch:
            processor.process(batch)
            ends = {(event.topic, event.partition): event.offset + 1 for event in batch}
            consumer.commit(
                offsets=[TopicPartition(*partition, end) for partition, end in ends.items()], asynchronous=True
            )
    consumer.close()


def main(variant: str) -> None:
    """Run one of the variants until SIGTERM."""
    settings = load_settings()
    configure_logging(settings)
    match variant:
        case "with-faust":
            run(settings, with_faust)
        case "without-faust":
            run(settings, without_faust)
        case _:
            raise SystemExit(f"{variant} is neither with-faust nor without-faust")


if __name__ == "__main__":
    main(sys.argv[1])
