"""Reads the lists of merged and erased customers from the topic ``customers``."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import tenacity
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from state.domain.identities import Identities
from state.settings import Settings
from state.store.identities import IdentityLog, IdentityStore, load_pseudonyms, require_key
from state.store.redis.identities import RedisIdentities
from stream.errors import BrokerUnavailable, RightMissing
from stream.kafka.config import confluent_config
from stream.kafka.topics import named_cause

_TIMEOUT_S = 10.0
_WAIT_S = 0.1
_NEW_TOPIC = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
)
"""Answers for a topic that was just created, until all brokers know who leads it."""
_SILENCE = 100
"""Reads without a record, before its end, after which a topic counts as unreachable."""


def read_customer_log(settings: Settings) -> Identities:
    """Both lists as of now; empty where there is no such topic. No group is joined and nothing is committed.

    Raises:
        BrokerUnavailable: Kafka does not answer, or a record cannot be read.
        SettingsError: No broker is set, or the erasure key cannot be used.
    """
    log = IdentityLog(load_pseudonyms(settings))
    read_customer_records(settings, log.add)
    return log.identities


def known_customers(settings: Settings) -> Identities:
    """Both lists for a command that reads events: from Kafka, else from Redis; empty where neither is set.

    Raises:
        BrokerUnavailable: Kafka does not answer.
        SettingsError: Customers are erased, and no erasure key is set.
        StoreUnavailable, StoreRefused: Redis does not answer, refuses, or has a list made with another key.
    """
    known = Identities()
    if settings.brokers:
        known = read_customer_log(settings)
    elif settings.redis_url:
        with closing(RedisIdentities(settings)) as identities:
            known = identities.all() or known
    require_key(known)
    return known


def restore_identities(settings: Settings, identities: IdentityStore) -> Identities:
    """The lists of a store, which get what the topic has where the store lost them, or has no list made with this key.

    Raises:
        BrokerUnavailable: Kafka does not answer.
        SettingsError: Customers are erased, and no erasure key is set.
        StoreUnavailable, StoreRefused: The store does not answer, refuses, or has a list made with another key.
    """
    log = read_customer_log(settings)
    require_key(log)
    identities.restore(log)
    return log


def read_customer_records(settings: Settings, add: Callable[[bytes | None, bytes | None], None]) -> None:
    """Call a function with key and value of each record of the topic ``customers``, in order.

    Raises:
        BrokerUnavailable: Kafka does not answer, or a record cannot be read.
        RightMissing: The user may not read the topic.
        SettingsError: No broker is set.
    """
    topic = settings.topics.customers
    causes: list[KafkaError] = []
    consumer = Consumer(
        confluent_config(
            settings,
            error_cb=causes.append,
            log_level=0,  # the error that is raised says it
            **{
                "group.id": f"{settings.group}-customers",  # required, though only assign() is used
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,  # the next partition waits for the fetch of the one before
                "allow.auto.create.topics": False,
            },
        )
    )
    try:
        with named_cause(settings, causes, consumer.poll), _named_right(topic):
            for number in _retry_new_topic(_partitions, consumer, topic):
                _read_partition(consumer, topic, number, add)
    except ValueError as error:
        raise BrokerUnavailable(f"A record of the topic {topic} cannot be read: {error}") from error
    finally:
        consumer.close()


@contextmanager
def _named_right(topic: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise
        raise RightMissing(
            f"Kafka does not let this user read the topic {topic}, which has the erased customers; give it the "
            "right Read on it."
        ) from error


def _is_new_topic(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _NEW_TOPIC


_retry_new_topic = tenacity.Retrying(
    retry=tenacity.retry_if_exception(_is_new_topic),
    stop=tenacity.stop_after_delay(_TIMEOUT_S),
    wait=tenacity.wait_fixed(_WAIT_S),
    reraise=True,
)


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    """The numbers of the partitions; none where there is no such topic."""
    found = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
    if found.error is not None and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise KafkaException(found.error)  # without the right to read it, nobody would seem to be erased
    return sorted(found.partitions)


def _read_partition(
    consumer: Consumer, topic: str, number: int, add: Callable[[bytes | None, bytes | None], None]
) -> None:
    first, end = _retry_new_topic(consumer.get_watermark_offsets, TopicPartition(topic, number), timeout=_TIMEOUT_S)
    if first >= end:
        return
    at = TopicPartition(topic, number, first)
    consumer.assign([at])
    silence = 0
    while consumer.position([at])[0].offset < end:
        records = consumer.consume(1_000, timeout=_WAIT_S)
        for record in records:
            if (error := record.error()) is not None:
                raise KafkaException(error)
            if (record.offset() or 0) < end:
                add(record.key(), record.value())
        silence = 0 if records else silence + 1
        if silence > _SILENCE:
            raise BrokerUnavailable(
                f"The topic {topic} gave nothing for {silence * _WAIT_S:.0f} seconds before its end"
            )
