"""The lag of the workers as Kafka knows it: the events of each partition after the committed offset."""

from confluent_kafka import Consumer, KafkaException, TopicPartition

from state.settings import Settings
from stream.errors import BrokerUnavailable
from stream.kafka.config import confluent_config


def group_lag(settings: Settings, *, timeout_s: float = 3.0) -> dict[int, int]:
    """Events not yet processed, by partition; none where the topic does not exist. Joins no group.

    Raises:
        BrokerUnavailable: Kafka does not answer.
        SettingsError: No broker is set.
    """
    topic = settings.topics.invoices
    consumer = Consumer(
        confluent_config(
            settings,
            **{"group.id": settings.group, "enable.auto.commit": False, "allow.auto.create.topics": False},
        )
    )
    try:
        metadata = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
        if metadata.error is not None:
            return {}
        lag = {}
        partitions = [TopicPartition(topic, number) for number in sorted(metadata.partitions)]
        for committed in consumer.committed(partitions, timeout=timeout_s):
            first, end = consumer.get_watermark_offsets(TopicPartition(topic, committed.partition), timeout=timeout_s)
            lag[committed.partition] = max(0, end - max(committed.offset, first))  # below 0: nothing is committed
        return lag
    except KafkaException as error:
        raise BrokerUnavailable(f"The lag cannot be read: {error.args[0].str()}") from error
    finally:
        consumer.close()
