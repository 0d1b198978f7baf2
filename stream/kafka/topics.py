"""The topics of the worker, created where they are missing."""

import logging
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from state.events.rules import MAX_DOCUMENT_BYTES
from state.settings import Settings
from stream.errors import BrokerRefused, BrokerUnavailable, RightMissing, TlsRefused
from stream.kafka.config import confluent_config
from stream.kafka.publisher import MAX_MESSAGE_BYTES
from stream.kafka.tls_problem import tls_problem

logger = logging.getLogger(__name__)

DAY_MS = 86_400_000
DEAD_LETTER_DAYS = 365
"""Dead letters are retained at least this long, so that an operator has time to look into their cause."""

EVENT_OVERHEAD_BYTES = 48_588
"""The most bytes a record adds to its event. With the default of 1,000,000 bytes an event it gives Kafka's default."""


_CONNECTION_PREFIX = re.compile(r"^\S+/(bootstrap|\d+): | \(after \d+ms in state .*\)$")
"""What librdkafka adds to the reason of a failed connection."""


def wanted_topics(settings: Settings, *names: str) -> list[NewTopic]:
    """The topics of the worker, or those of these names, with their partitions, retention, compaction and sizes."""
    topics = settings.topics
    configs: dict[str, dict[str, Any]] = {
        topics.invoices: {
            "cleanup.policy": "delete",
            "retention.ms": _retention(settings.retention_days),
            "max.message.bytes": settings.max_event_bytes + EVENT_OVERHEAD_BYTES,
        },
        topics.dead_letter: {
            "cleanup.policy": "delete",
            "retention.ms": _retention(settings.retention_days and max(settings.retention_days, DEAD_LETTER_DAYS)),
            # A dead letter is an invoice event with headers, so it must fit whatever fits the invoices topic.
            "max.message.bytes": MAX_MESSAGE_BYTES,
        },
        topics.scores: {"cleanup.policy": "delete", "retention.ms": _retention(settings.retention_days)},
        topics.recommendations: {"cleanup.policy": "compact", "max.message.bytes": 1 << 20},
        topics.items: {
            "cleanup.policy": "compact",
            "max.message.bytes": settings.max_event_bytes + EVENT_OVERHEAD_BYTES,
        },
        topics.customers: {"cleanup.policy": "compact"},
        topics.rules: {"cleanup.policy": "compact", "max.message.bytes": MAX_DOCUMENT_BYTES + EVENT_OVERHEAD_BYTES},
    }
    # One order of all changes, whichever partitioner a producer uses; these topics are small.
    single = (topics.items, topics.rules, topics.customers)
    return [
        _topic(settings, name, config, partitions=1 if name in single else settings.partitions)
        for name, config in configs.items()
        if not names or name in names
    ]


def due_topic(settings: Settings) -> NewTopic:
    """The topic of due customers, which no worker needs."""
    config = {"cleanup.policy": "delete", "retention.ms": _retention(settings.retention_days)}
    return _topic(settings, settings.topics.due, config, partitions=settings.partitions)


def _topic(settings: Settings, name: str, config: dict[str, Any], *, partitions: int) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=partitions,
        replication_factor=settings.replication,
        config={key: str(value) for key, value in config.items()},
    )


def ensure_topics(
    settings: Settings, wanted: Sequence[NewTopic] | None = None, *, timeout_s: float = 10.0
) -> list[str]:
    """Create the missing topics; return their names. Existing topics are not changed.

    Args:
        settings: Where the brokers are.
        wanted: The topics; those of the worker unless given. A command names those that it needs: it may have no right
            to see others.
        timeout_s: How long Kafka may take.

    Raises:
        RightMissing: The user may not see a topic, nor create it.
        BrokerUnavailable: Kafka does not answer, or refuses.
        SettingsError: No broker is set.
    """
    with _admin(settings) as admin:
        cluster = admin.list_topics(timeout=timeout_s)
        missing = [topic for topic in wanted or wanted_topics(settings) if topic.topic not in cluster.topics]
        if not missing:
            return []
        if _is_embedded(cluster):
            # The embedded broker has no CreateTopics; a request for metadata creates a topic of four partitions.
            for topic in missing:
                admin.list_topics(topic.topic, timeout=timeout_s)
            return [topic.topic for topic in missing]
        return _create(admin, missing, timeout_s)


def existing_topics(settings: Settings, *, needed: Collection[str] = (), timeout_s: float = 10.0) -> set[str]:
    """The names of all topics that the user may see; creates none.

    Args:
        settings: Where the brokers are.
        needed: Topics that must not seem to be missing because the user has no right to see them.
        timeout_s: How long Kafka may take.

    Raises:
        RightMissing: The user has no right to see one of ``needed``.
        BrokerUnavailable: Kafka does not answer, or refuses.
        SettingsError: No broker is set.
    """
    with _admin(settings) as admin:
        return visible_topics(admin, needed, timeout_s=timeout_s)


def visible_topics(admin: AdminClient, needed: Collection[str], *, timeout_s: float) -> set[str]:
    """``existing_topics`` for a client that is there already.

    Raises:
        KafkaException: Kafka does not answer.
        RightMissing: The user has no right to see one of ``needed``.
    """
    cluster = admin.list_topics(timeout=timeout_s)
    found = set(cluster.topics)
    hidden = [name for name in needed if name not in found]
    if hidden and not _is_embedded(cluster):
        # A list of all topics leaves out what the user may not see; only a question about a topic tells them apart.
        asked = admin.describe_topics(TopicCollection(hidden), request_timeout=timeout_s)
        for name, future in asked.items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise RightMissing(
                        f"Kafka does not let this user see the topic {name}; give it the right Read on it."
                    ) from error
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
    return found


def _is_embedded(cluster: Any) -> bool:
    return str(cluster.cluster_id).startswith("mockCluster")


def group_has_members(settings: Settings, *, timeout_s: float = 10.0) -> bool:
    """Whether a worker is in the consumer group; True also where the broker cannot be asked.

    Raises:
        SettingsError: No broker is set.
    """
    admin = AdminClient(confluent_config(settings, log_level=0))
    try:
        asked = admin.describe_consumer_groups([settings.group], request_timeout=timeout_s)
        return bool(asked[settings.group].result().members)
    except KafkaException:
        return True


def committed_events(settings: Settings, *, timeout_s: float = 5.0) -> int:
    """The sum of the offsets that the workers have committed; 0 where they have none, or the broker cannot be asked.

    Raises:
        SettingsError: No broker is set.
    """
    admin = AdminClient(confluent_config(settings, log_level=0))
    group = ConsumerGroupTopicPartitions(settings.group)
    try:
        found = admin.list_consumer_group_offsets([group], request_timeout=timeout_s)[settings.group].result()
    except KafkaException:
        return 0
    partitions = [one for one in found.topic_partitions if one.topic == settings.topics.invoices]
    return sum(max(0, one.offset) for one in partitions)


def _create(admin: AdminClient, missing: list[NewTopic], timeout_s: float) -> list[str]:
    created = []
    for name, future in admin.create_topics(missing, operation_timeout=timeout_s, request_timeout=timeout_s).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise RightMissing(
                    f"Kafka does not let this user see or create the topic {name}; give it the right Read, Write or "
                    "Describe on it, and Create where it does not exist yet."
                ) from error
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another worker created it
                raise
        else:
            created.append(name)
    if created:
        logger.info("Created topics %s", ", ".join(sorted(created)))
    return created


@contextmanager
def _admin(settings: Settings) -> Iterator[AdminClient]:
    causes: list[KafkaError] = []
    admin = AdminClient(confluent_config(settings, error_cb=causes.append, log_level=0))
    with named_cause(settings, causes, admin.poll):
        yield admin


@contextmanager
def named_cause(settings: Settings, causes: list[KafkaError], poll: Callable[[float], object]) -> Iterator[None]:
    """Failures of a client name the cause, for example a wrong password, and not only a timeout.

    Args:
        settings: Those of the client.
        causes: What its ``error_cb`` was called with.
        poll: Calls it with what is not reported yet.

    Raises:
        BrokerRefused: Kafka refuses the user, the password or the token.
        TlsRefused: A certificate is not accepted.
        BrokerUnavailable: Kafka does not answer, or refuses.
    """
    try:
        yield
    except KafkaException as error:
        poll(0)
        reasons = [one.str() for one in causes if one.code() != KafkaError._ALL_BROKERS_DOWN]
        reason = _CONNECTION_PREFIX.sub("", reasons[0] if reasons else error.args[0].str())
        if any(one.code() == KafkaError._AUTHENTICATION for one in [*causes, error.args[0]]):
            what, see = "user or password", "NEXTBASKET_KAFKA_SASL_USERNAME and NEXTBASKET_KAFKA_SASL_PASSWORD"
            if settings.kafka_sasl_mechanism == "OAUTHBEARER":
                what, see = "token", "NEXTBASKET_KAFKA_SASL_TOKEN_FILE"
            raise BrokerRefused(
                f"Kafka at {settings.kafka_brokers} refuses the {what} ({reason}); see {see}."
            ) from error
        if (problem := tls_problem(settings)) is not None:
            raise TlsRefused(problem) from error
        raise BrokerUnavailable(f"Kafka at {settings.kafka_brokers} cannot be used: {reason}") from error


def _retention(days: int) -> int:
    """``retention.ms`` of a number of days; 0 means without a limit."""
    return days * DAY_MS if days else -1
