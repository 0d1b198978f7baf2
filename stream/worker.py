"""The worker: builds its parts, runs them until a signal, and closes them in order."""

import asyncio
import importlib.metadata
import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import cache, partial
from random import Random

from state.domain.clock import differing_clocks
from state.errors import StateError, StoreUnavailable
from state.events.shop_dialect import shop_dialect
from state.settings import Settings, without_credentials
from state.store.claim import claim_store
from state.store.identities import require_key
from state.store.redis.client import require_url
from state.store.redis.due_index import RedisDueIndex
from state.store.redis.identities import RedisIdentities
from state.store.redis.letters import RedisLetters
from state.store.redis.refresh_progress import RedisRefreshProgress
from state.store.redis.store import RedisStore
from stream.checked_redis import CheckedRedis
from stream.cli.exit_codes import ExitCode
from stream.cli.registry import open_registry
from stream.durability_watch import DurabilityWatch, require_durability
from stream.errors import BrokerRefused, BrokerUnavailable, CannotStart, Stopped, TlsRefused
from stream.health import Health, Heartbeat, serve_health
from stream.interpreter import BatchCollector, describe_interpreter, prepare_to_serve
from stream.kafka.agent import create_app
from stream.kafka.client_errors import client_errors
from stream.kafka.config import broker_list
from stream.kafka.customer_log import read_customer_log
from stream.kafka.dead_letter_topic import DeadLetterTopic, DeadLetterWatch
from stream.kafka.faust_app import StreamApp
from stream.kafka.followers import MerchandisingFollower
from stream.kafka.item_validation import ItemValidation
from stream.kafka.partitioner import partition_of
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.retention import remains_in_kafka
from stream.kafka.topic_watch import TopicWatch
from stream.kafka.topics import committed_events, ensure_topics
from stream.loss_watch import LossWatch, removed_customers
from stream.messages import Incoming, Message
from stream.monitoring import Metrics
from stream.pipeline.confirmed_publisher import ConfirmedPublisher
from stream.pipeline.model_watcher import ModelWatcher
from stream.pipeline.outages import Outages
from stream.pipeline.processor import Processor
from stream.pipeline.recent_writes import RecentWrites
from stream.pipeline.refresh import Refresher, model_name, rules_in_force
from stream.pipeline.refresh_sender import Collaborators
from stream.pipeline.retry import RetryPolicy
from stream.pipeline.service_watch import ServiceWatch
from stream.pipeline.settling import Settling
from stream.tools.traces import open_traces
from stream.trace_export import recorded_traces
from stream.worker_process import exit_if_threads_hang, exit_process, run_app
from training.registry import Registry
from training.registry.errors import RegistryError
from training.serving.load import fallback_scorer, load_scorer

logger = logging.getLogger(__name__)

CLOCK_CHECK_INTERVAL_S = 5.0
REDIS_CHECK_INTERVAL_S = 3.0
REDIS_CHECK_TIMEOUT_S = 3.0
"""Shorter than the timeout of a call, so that an outage is noticed while a call hangs."""
MAX_SILENCE_S = 60.0
"""A worker whose event loop does not run for so long is not alive; nothing in it takes that long."""


def run_worker(settings: Settings) -> ExitCode:
    """Run until SIGTERM or SIGINT; waits for Redis and Kafka while they are unavailable.

    Raises:
        SettingsError: No broker or no Redis is set, one of their settings cannot be used, or Redis evicts keys.
        DialectDiffers: The histories or the promoted model are of another dialect.
        StoreRefused: Redis refuses the password, or a command that the worker needs.
        CannotStart: Kafka refuses the user or the password, or a certificate is not accepted.
    """
    broker_list(settings)
    require_url(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    metrics = Metrics()
    outages = Outages(metrics.outage)
    retry = RetryPolicy(stop, Random(), outages)
    health = Health()
    heartbeat = Heartbeat(MAX_SILENCE_S)
    loaded = threading.Event()
    health.add_liveness("event loop", heartbeat.problem)
    # A Redis that answers reads but refuses writes is waited for by the processor.
    health.add("Redis", lambda: outages.problem("Redis") or _redis_answers(settings))
    health.add("model", lambda: None if loaded.is_set() else "no scorer is loaded yet")
    health.add("Kafka", lambda: "the group is not joined yet")
    registry = open_registry(settings)
    with ExitStack() as closes:
        tracing = closes.enter_context(recorded_traces("nextbasket-worker", settings))
        metrics_port = "none"
        if settings.metrics_port:
            server = serve_health(settings.metrics_host, settings.metrics_port, metrics.registry, health)
            closes.callback(server.close)
            metrics_port = server.describe(settings.metrics_port)
        logger.info(describe_start(settings, promoted_model(registry), metrics_port))
        reason = closes.enter_context(client_errors())
        try:
            store = retry.call("Redis", lambda: RedisStore(settings), StoreUnavailable)
            closes.enter_context(closing(store))
            due_index = retry.call("Redis", lambda: RedisDueIndex(settings), StoreUnavailable)
            closes.enter_context(closing(due_index))
            retry.call("Redis", store.probe, StoreUnavailable)
            servers = retry.call("Redis", store.durability, StoreUnavailable)
            require_durability(servers, allow_eviction=settings.allow_eviction)
            retry.call("Kafka", lambda: _require_topics(settings), BrokerUnavailable)
            identities = closes.enter_context(closing(RedisIdentities(settings)))
            listed = retry.call("Kafka", lambda: read_customer_log(settings), BrokerUnavailable)
            require_key(listed)
            retry.call("Redis", lambda: identities.restore(listed), StoreUnavailable)
        except Stopped:
            return ExitCode.OK
        follower = MerchandisingFollower(
            settings,
            on_change=lambda now: metrics.merchandising(len(now.catalogue), now.rules.document.version),
            outages=outages,
        )
        follower.start()
        closes.callback(follower.stop)
        health.add("catalogue", follower.problem)
        if not follower.wait_until_read(stop):
            return ExitCode.OK
        publisher = closes.enter_context(closing(KafkaPublisher(settings, stop)))
        letter_topic = DeadLetterTopic(settings)
        spool = closes.enter_context(closing(RedisLetters(settings))) if settings.dead_letters == "redis" else None
        letters = DeadLetterWatch(
            letter_topic, spool, lambda: KafkaPublisher(settings, stop), metrics.dead_letter_topic
        )
        letters.start()
        closes.callback(letters.stop)
        fallback = fallback_scorer()
        dialect = shop_dialect(settings)
        load = partial(load_scorer, dialect=dialect)
        models = ModelWatcher(registry, load, fallback, metrics, poll_s=settings.registry_poll_seconds)
        written = RecentWrites()
        settling = Settling(settings.settle_ms / 1000)
        processor = Processor(
            settings=settings,
            store=store,
            publisher=publisher,
            scorer=lambda: models.scorer,
            fallback=fallback,
            retry=retry,
            metrics=metrics,
            merchandising=lambda: follower.merchandising,
            letter_topic=letter_topic,
            spool=spool,
            tracing=tracing,
            settling=settling,
            due_index=due_index,
            identities=identities,
            traces=closes.enter_context(open_traces(settings)),
            remains=partial(remains_in_kafka, settings),
            read_log=partial(read_customer_log, settings),
            written=written,
        )

        refresh_progress = closes.enter_context(closing(RedisRefreshProgress(settings)))
        refresher = Refresher(
            settings,
            Collaborators(
                store=store,
                items=processor.items,
                recommender=processor.recommender,
                publisher=processor.publisher,
                retry=retry,
                progress=refresh_progress,
                changes=follower.changes,
                partitions=partial(publisher.partitions, settings.topics.invoices, timeout_s=3.0),
                partition_of=partition_of,
                model=lambda: model_name(models.scorer),
                rules=lambda: rules_in_force(follower.merchandising, processor.items.now, int(time.time())),
                now=lambda: follower.merchandising.at(processor.items.now, int(time.time())).now,
                fallback=model_name(fallback),
                clock_problem=processor.clock_problem,
                due_index=due_index,
            ),
            metrics,
        )

        models.start()
        closes.callback(models.stop)
        try:  # after the model: a worker that refuses to serve it must not decide on the dialect of the store
            retry.call("Redis", lambda: claim_store(store, dialect), StoreUnavailable)
        except Stopped:
            return ExitCode.OK
        loaded.set()
        answering = CheckedRedis(settings, read_timeout_s=REDIS_CHECK_TIMEOUT_S)
        closes.callback(answering.close)
        redis = ServiceWatch("Redis", [_redis_check(answering)], outages, interval_s=REDIS_CHECK_INTERVAL_S)
        redis.start()
        closes.callback(redis.stop)
        timed = CheckedRedis(settings)
        closes.callback(timed.close)
        clocks = ServiceWatch(
            "clock", [_clock_check(settings, timed, metrics)], outages, interval_s=CLOCK_CHECK_INTERVAL_S
        )
        clocks.start()
        closes.callback(clocks.stop)
        health.add("clock", lambda: clocks.problem() or processor.clock_problem())

        def on_loss() -> None:
            metrics.redis_lost()
            processor.store_lost_data()

        def removed(customer_ids: Sequence[str]) -> set[str]:
            with closing(RedisIdentities(settings)) as listed:
                return removed_customers(listed, customer_ids)

        marked = CheckedRedis(settings)
        closes.callback(marked.close)
        losses = LossWatch(marked, on_loss, written, removed)
        committed = committed_events(settings)
        try:
            retry.call("Redis", lambda: losses.start(committed), StoreUnavailable)
        except Stopped:
            return ExitCode.OK
        closes.callback(losses.stop)
        durable = CheckedRedis(settings)
        closes.callback(durable.close)
        durability = DurabilityWatch(
            lambda: durable().durability(),
            metrics.redis_evicts,
            metrics.keys_evicted,
            allow_eviction=settings.allow_eviction,
        )
        health.add("Redis eviction", durability.problem)
        durability.start(servers)
        closes.callback(durability.stop)

        validation = ItemValidation(
            settings,
            _publish_letters(settings, stop, retry, letter_topic, spool),
            count=partial(metrics.dead_letter, "invalid"),
            clock=time.time,
        )
        validation.start()
        closes.callback(validation.stop)

        collector = BatchCollector()

        def process(batch: Sequence[Incoming]) -> None:
            processor.process(batch)
            collector.collect()

        def build() -> StreamApp:
            app = create_app(settings, process, exit_process, refresher.step, settling)
            app.on_events_lost = metrics.events_lost
            app.fetch_buffer.on_stage = metrics.stage_took
            app.on_partition_reset = metrics.partition_reset

            def on_made_again() -> None:
                metrics.topic_made_again()
                app.read_again()

            topic = TopicWatch(settings, on_made_again)
            topic.start()
            closes.callback(topic.stop)
            broker_problem = partial(publisher.problem, settings.topics.invoices, timeout_s=3.0)
            watch = ServiceWatch("Kafka", [app.coordinator_problem, broker_problem], outages, reason=reason.recent)
            health.add("Kafka", lambda: watch.problem() or app.group_problem())
            watch.start()
            closes.callback(watch.stop)
            return app

        prepare_to_serve()
        logger.info("%s", describe_interpreter(after_each_batch=True))
        code = asyncio.run(run_app(build, stop, metrics, heartbeat.beat))
    return exit_if_threads_hang(code)


def describe_start(settings: Settings, model: str, metrics_port: str) -> str:
    """The first line of the log: what runs where; it contains no password."""
    brokers = ",".join(broker.rpartition("@")[2] for broker in settings.brokers)
    return (
        f"nextbasket {_version()} worker: brokers {brokers}, Redis {without_credentials(settings.redis_url)}, "
        f"group {settings.group}, dialect {settings.dialect}, model {model}, metrics port {metrics_port}"
    )


def _require_topics(settings: Settings) -> None:
    try:
        ensure_topics(settings, timeout_s=3.0)
    except (BrokerRefused, TlsRefused) as error:  # trying again does not help, as with a wrong password of Redis
        raise CannotStart(str(error)) from error


def promoted_model(registry: Registry) -> str:
    """The name and version of the promoted model, or why there is none, in words."""
    try:
        version = registry.current()
        return "none yet" if version is None else f"{registry.manifest(version).name} {version}"
    except (RegistryError, OSError) as error:  # the watcher of models logs the reason
        return f"unknown ({type(error).__name__})"


def _version() -> str:
    try:
        return importlib.metadata.version("nextbasket")
    except importlib.metadata.PackageNotFoundError:  # run from a folder that is not installed
        return "(not installed)"


def _publish_letters(
    settings: Settings,
    stop: threading.Event,
    retry: RetryPolicy,
    letter_topic: DeadLetterTopic,
    spool: RedisLetters | None,
) -> Callable[[Sequence[Message]], None]:
    """Publishes dead letters from another thread than the processor's; connects for the first of them."""

    @cache
    def connected() -> ConfirmedPublisher:
        return ConfirmedPublisher(
            KafkaPublisher(settings, stop),
            retry,
            dead_letter_topic=settings.topics.dead_letter,
            letter_topic=letter_topic,
            spool=spool,
        )

    return lambda letters: connected().publish(letters)


def _redis_answers(settings: Settings) -> str | None:
    """The check that Redis answers, once: with a client of its own, because probes run in several threads."""
    with closing(CheckedRedis(settings, read_timeout_s=REDIS_CHECK_TIMEOUT_S)) as store:
        return _redis_check(store)()


def _redis_check(store: Callable[[], RedisStore]) -> Callable[[], str | None]:
    """A check that Redis answers."""

    def check() -> str | None:
        try:
            store().now()
        except StateError as error:
            return str(error) or type(error).__name__
        return None

    return check


def _clock_check(settings: Settings, store: Callable[[], RedisStore], metrics: Metrics) -> Callable[[], str | None]:
    """A check that the clock of this machine and that of Redis agree; an outage of Redis is no disagreement."""

    def check() -> str | None:
        try:
            server = store().clock()
        except StateError:
            return None
        if server is not None:
            metrics.clock_difference("Redis", server - time.time())
        return differing_clocks(time.time(), server, settings.max_clock_difference_seconds)

    return check
