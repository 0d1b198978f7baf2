"""Builds the services of the API, serves them until a signal, and ends them in order."""

import logging
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial
from importlib.metadata import version

import uvicorn
from confluent_kafka.cimpl import NewTopic

from state.domain.rules import Merchandising
from state.errors import SettingsError, StateError, StoreUnavailable
from state.events.shop_dialect import make_dialect, shop_dialect
from state.settings import Settings
from state.store.claim import require_store_dialect
from state.store.identities import load_pseudonyms
from state.store.protocol import Store
from state.store.redis.client import connect, require_url
from state.store.redis.identities import RedisIdentities
from state.store.redis.refresh_progress import RedisRefreshProgress
from state.store.redis.store import RedisStore
from stream.api.access import Access, check_binding, parse_rate
from stream.api.app import create_app
from stream.api.connections import BoundedProtocol
from stream.api.due_lists import DueLists
from stream.api.due_process import DueProcess
from stream.api.feed import Feed
from stream.api.ingestion import Ingestion
from stream.api.key_reload import INTERVAL_S, KeyReload
from stream.api.keys import load_keys
from stream.api.known_customers import KnownCustomers
from stream.api.letters import KafkaDeadLetters
from stream.api.lookups import Lookups
from stream.api.micro_batches import MicroBatcher
from stream.api.problems import unavailable
from stream.api.ranking import Ranker
from stream.api.revisions import RevisionReader
from stream.api.segments import SegmentSampler
from stream.api.services import Services
from stream.cli.exit_codes import ExitCode
from stream.cli.registry import open_registry
from stream.errors import BrokerUnavailable
from stream.health import Health, serve_health
from stream.interpreter import describe_interpreter, prepare_to_serve
from stream.kafka.followers import MerchandisingFollower
from stream.kafka.group_lag import group_lag
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import ensure_topics, wanted_topics
from stream.kafka.transactional_publisher import TransactionalPublisher
from stream.monitoring import Metrics
from stream.periodic import PeriodicThread
from stream.pipeline.model_watcher import ModelWatcher
from stream.pipeline.ports import Publisher
from stream.trace_export import recorded_traces
from training.serving.load import fallback_scorer, load_scorer

logger = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 2.0
"""A request does not wait longer for Redis."""
GRACE_S = 10
"""After SIGTERM, how long open requests may take."""

KAFKA_TIMEOUT_S = 4.0
"""How long Kafka may take to confirm."""

DUE_TIMEOUT_S = 45.0
"""How long a request waits for a list of who is due, and for those before it."""
MAX_DUE = 10
MAX_BODIES = 50
MAX_VISITS = 64
MAX_REVISIONS = 500


def serve_api(settings: Settings, host: str, port: int) -> ExitCode:
    """Serve until SIGTERM or SIGINT. Starts while Redis or Kafka is away; requests that need it get 503.

    Raises:
        SettingsError: No Redis is set, the address cannot be used, or needs keys and there are none.
        DialectDiffers: The histories or the promoted model are of another dialect.
    """
    keys = load_keys(settings)
    check_binding(host, keys)
    access = Access(keys, parse_rate(settings.api_rate))
    key_reload = KeyReload(settings, access)
    require_url(settings)
    metrics = Metrics()
    health = Health()
    with ExitStack() as closes:
        listener = closes.enter_context(_listen(host, port))
        tracing = closes.enter_context(recorded_traces("nextbasket-api", settings))
        if settings.metrics_port:
            server = serve_health(settings.metrics_host, settings.metrics_port, metrics.registry, health)
            closes.callback(server.close)
            logger.info("Metrics are on port %s", server.describe(settings.metrics_port))
        fallback = fallback_scorer()
        registry = open_registry(settings)
        shop = shop_dialect(settings)
        load = partial(load_scorer, dialect=shop)
        models = ModelWatcher(registry, load, fallback, metrics, poll_s=settings.registry_poll_seconds)
        models.start()
        closes.callback(models.stop)

        def open_store() -> Store:
            store = RedisStore(settings, connect(settings, read_timeout_s=REDIS_TIMEOUT_S))
            try:
                require_store_dialect(store.dialect(), shop)
            except StateError:
                store.close()
                raise
            return store

        with suppress(StoreUnavailable):  # the requests wait for it
            open_store().close()

        def redis_check() -> str | None:
            with closing(open_store()) as store:
                store.now()
            return None

        health.add("Redis", redis_check)
        merchandising = _follow_merchandising(settings, metrics, health, closes)
        segments = SegmentSampler(open_store)
        segments.start()
        closes.callback(segments.stop)
        ranker = Ranker(
            settings=settings,
            open_store=open_store,
            scorer=lambda: models.scorer,
            fallback=fallback,
            metrics=metrics,
            merchandising=merchandising,
            segments=lambda: segments.demand,
        )
        revisions = RevisionReader(open_store)
        stop = threading.Event()

        def connect_kafka() -> Publisher:
            if not settings.brokers:
                raise BrokerUnavailable("No Kafka is set for this server; set NEXTBASKET_KAFKA_BROKERS")
            ensure_topics(settings, _topics(settings), timeout_s=KAFKA_TIMEOUT_S)
            return KafkaPublisher(settings, stop, delivery_s=KAFKA_TIMEOUT_S)

        known_customers = KnownCustomers(
            lambda: RedisIdentities(settings, connect(settings, read_timeout_s=REDIS_TIMEOUT_S))
        )
        ingestion = Ingestion(
            settings,
            connect_kafka,
            lambda: TransactionalPublisher(settings, delivery_s=KAFKA_TIMEOUT_S),
            lookup=known_customers.lookup,
            count_erased=metrics.erased_events,
        )
        lookups = Lookups(open_store)
        orders = DueProcess(settings)
        closes.callback(orders.close)
        due = DueLists(
            open_store=open_store,
            orders=orders,
            scorer=lambda: models.scorer,
            merchandising=merchandising,
            versions=ranker.versions,
            top_k=settings.top_k,
        )
        feed = Feed(settings, metrics) if settings.brokers else None
        dialect = make_dialect(shop)
        services = Services(
            settings=settings,
            access=access,
            metrics=metrics,
            health=health,
            ranking=MicroBatcher("ranking", ranker.answer, max_batch=MAX_VISITS),
            revisions=MicroBatcher("revisions", revisions.answer, max_batch=MAX_REVISIONS),
            lookups=MicroBatcher("lookups", lookups.answer, max_batch=MAX_VISITS),
            due=MicroBatcher("due", due.answer, max_batch=1, max_waiting=MAX_DUE, timeout_s=DUE_TIMEOUT_S),
            # Those that wait behind a batch that Kafka does not confirm get an answer too.
            ingestion=MicroBatcher(
                "ingestion", ingestion.answer, max_batch=MAX_BODIES, max_waiting=100, timeout_s=3 * KAFKA_TIMEOUT_S
            ),
            feed=feed,
            scorer=lambda: models.scorer,
            merchandising=merchandising,
            versions=ranker.versions,
            stock_code=lambda written: dialect.stock_code(written.strip()),
            registry=registry,
            letters=KafkaDeadLetters(settings) if settings.brokers else None,
            lag=partial(group_lag, settings) if settings.brokers else None,
            refresh=partial(_refresh_records, settings),
            can_erase=load_pseudonyms(settings) is not None,
            tracing=tracing,
        )
        for part in (ranker, revisions, lookups, due, ingestion):
            closes.callback(part.close)
        if feed is not None:
            feed.start()
            closes.callback(feed.stop)
        for batcher in (services.ranking, services.revisions, services.lookups, services.due, services.ingestion):
            batcher.start()
            closes.callback(batcher.stop)
        if settings.api_keys_file is not None:
            reloading = PeriodicThread("keys", key_reload.check, "Reading the API keys again", interval_s=INTERVAL_S)
            reloading.start()
            closes.callback(reloading.stop)
        _announce(listener, access)
        closes.callback(stop.set)
        _run(services, listener)
    logger.info("API ended")
    return ExitCode.OK


def _topics(settings: Settings) -> list[NewTopic]:
    """What the server writes to, and what it follows."""
    topics = settings.topics
    return wanted_topics(settings, topics.invoices, topics.items, topics.rules, topics.recommendations)


def _follow_merchandising(
    settings: Settings, metrics: Metrics, health: Health, closes: ExitStack
) -> Callable[[], Merchandising]:
    """The catalogue and the rules as of now; without a broker there are none.

    The function raises ``Problem`` until the topics were read once: an item that is out of stock must not be offered.
    """
    if not settings.brokers:
        logger.warning("No Kafka is set: there is no catalogue, no rules, no stream, and invoices are refused")
        none = Merchandising(unknown_stock=settings.unknown_stock)
        return lambda: none
    with suppress(BrokerUnavailable):  # else a worker makes them, or the first request that writes
        ensure_topics(settings, _topics(settings), timeout_s=KAFKA_TIMEOUT_S)
    follower = MerchandisingFollower(
        settings, on_change=lambda now: metrics.merchandising(len(now.catalogue), now.rules.document.version)
    )
    follower.start()
    closes.callback(follower.stop)
    health.add("catalogue", follower.problem)

    def merchandising() -> Merchandising:
        if (problem := follower.problem()) is not None:
            raise unavailable(f"The catalogue and the rules cannot be used yet ({problem}).")
        return follower.merchandising

    return merchandising


class _Server(uvicorn.Server):
    """Ends the live streams, which end by nothing else, before it waits for open requests."""

    def __init__(self, config: uvicorn.Config, feed: Feed | None) -> None:
        super().__init__(config)
        self._feed = feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything else."""
        if self._feed is not None:
            self._feed.end_streams()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"The address {host}:{port} cannot be served: {error.strerror or error}. Choose another --host or --port."
        ) from error


def _announce(listener: socket.socket, access: Access) -> None:
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if len(access.keys):
        logger.info(
            "nextbasket %s serves %s to the keys %s", version("nextbasket"), address, ", ".join(access.keys.names)
        )
    else:
        logger.warning(
            "nextbasket %s serves %s without API keys: to this machine only, with every scope",
            version("nextbasket"),
            address,
        )


def _run(services: Services, listener: socket.socket) -> None:
    config = uvicorn.Config(
        create_app(services),
        http=BoundedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config, services.feed)
    prepare_to_serve()
    logger.info("%s", describe_interpreter(after_each_batch=False))
    # uvicorn raises the signal that ended it once more, for these.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])


def _refresh_records(settings: Settings) -> dict[int, bytes]:
    with closing(RedisRefreshProgress(settings)) as progress:
        return progress.load()
