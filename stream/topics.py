"""The topics a worker needs, created where they are missing."""

import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from state.settings import Settings
from stream.connection import confluent_config
from stream.errors import BrokerUnavailable
from stream.publisher import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

DAY_MS = 86_400_000
DEAD_LETTER_DAYS = 365
"""Dead letters wait for somebody to look into their cause, so they are kept at least this long."""

EVENT_OVERHEAD_BYTES = 48_588
"""What a record adds to an event at most; with the default of 1,000,000 bytes an event this is Kafka's own default."""


def wanted_topics(settings: Settings) -> list[NewTopic]:
    """The topics with their partitions, retention, compaction and sizes."""
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
            # Whatever invoices take, dead letters must: the original and its headers.
            "max.message.bytes": MAX_MESSAGE_BYTES,
        },
        topics.scores: {"cleanup.policy": "delete", "retention.ms": _retention(settings.retention_days)},
        topics.recommendations: {"cleanup.policy": "compact", "max.message.bytes": 1 << 20},
    }
    return [
        NewTopic(
            name,
            num_partitions=settings.partitions,
            replication_factor=settings.replication,
            config={key: str(value) for key, value in config.items()},
        )
        for name, config in configs.items()
    ]


def ensure_topics(settings: Settings, *, timeout_s: float = 10.0) -> list[str]:
    """Create the topics that are missing; returns their names. Topics that are there stay as they are.

    Raises:
        BrokerUnavailable: Kafka does not answer, or refuses.
        SettingsError: No broker is set.
    """
    try:
        return _ensure(settings, timeout_s)
    except KafkaException as error:
        raise BrokerUnavailable(f"{settings.kafka_brokers}: {error.args[0].str()}") from error


def _ensure(settings: Settings, timeout_s: float) -> list[str]:
    admin = AdminClient(confluent_config(settings))
    cluster = admin.list_topics(timeout=timeout_s)
    missing = [topic for topic in wanted_topics(settings) if topic.topic not in cluster.topics]
    if not missing:
        return []
    if str(cluster.cluster_id).startswith("mockCluster"):
        # The embedded broker knows no CreateTopics; it makes a topic, with four partitions, when first asked about it.
        for topic in missing:
            admin.list_topics(topic.topic, timeout=timeout_s)
        return [topic.topic for topic in missing]
    created = []
    for name, future in admin.create_topics(missing, operation_timeout=timeout_s, request_timeout=timeout_s).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another worker was faster
                raise
        else:
            created.append(name)
    if created:
        logger.info("Created topics %s", ", ".join(sorted(created)))
    return created


def _retention(days: int) -> int:
    """Milliseconds for ``retention.ms``; 0 days: for ever."""
    return days * DAY_MS if days else -1
