"""The partition of a key, as Kafka's Java client and ``KafkaPublisher`` choose it."""

from aiokafka.partitioner import murmur2


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key among so many.

    Producers may choose in another way, librdkafka's by CRC-32 unless they are configured; every key has exactly one
    partition here all the same.
    """
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions
