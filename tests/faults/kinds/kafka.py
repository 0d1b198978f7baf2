"""Faults of Kafka."""

import random
import time

import psutil
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.faults.kinds.fault import Fault
from tests.faults.producers import send_to
from tests.faults.shop import STALL_S, Shop
from tests.integration.storefront import Event
from tests.services.group import wait_until

NOTICE_S = 10.0
"""A partition that is added has a worker within this time."""


class KafkaFault(Fault):
    """Hits the broker."""

    part = "kafka"
    noticed = "^Waiting for Kafka: "
    counted = ('outage_seconds_total{service="Kafka"}',)


class KafkaKilled(KafkaFault):
    """SIGKILL; it comes back on its data."""

    name = "kafka-kill"
    hold_s = (3.0, 5.0)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        shop.kafka.kill()

    def end(self, shop: Shop) -> None:
        shop.kafka.start()


class KafkaPaused(KafkaFault):
    """SIGSTOP: it accepts connections and does not answer."""

    name = "kafka-pause"
    hold_s = (7.0, 9.0)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        psutil.Process(shop.kafka.pid).suspend()

    def end(self, shop: Shop) -> None:
        psutil.Process(shop.kafka.pid).resume()


class PartitionsAdded(Fault):
    """The topic gets a partition more, and its events are processed within seconds."""

    name = "kafka-partitions"
    part = "kafka"
    alone = True

    def begin(self, shop: Shop, rng: random.Random) -> None:
        new = len(shop.group.partitions())
        admin = shop.admin()
        for change in admin.create_partitions([NewPartitions(shop.topic, new + 1)]).values():
            change.result()
        began = time.monotonic()
        event = next(iter(shop.known.values()))
        send_to(shop.kafka.brokers, shop.topic, [event], new)
        wait_until(lambda: shop.group.committed().get(new, 0) > 0, f"partition {new} is read", STALL_S, shop.alive)
        seconds = time.monotonic() - began
        assert seconds < NOTICE_S + 5.0, f"a new partition was noticed after {seconds:.1f} s"


class TopicMadeAgain(Fault):
    """The topic is deleted with some events that no worker has read, and made again: offsets begin at 0."""

    name = "kafka-topic"
    part = "kafka"
    alone = True
    last = True
    quiet = True
    logged = ("was deleted and made again: events",)
    counted = ("topics_made_again_total",)
    losses = ("deleted and made again",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        wait_until(lambda: shop.group.unread() == 0, "all is read", STALL_S, shop.alive)
        shop.deleted = shop.records()
        admin = shop.admin()
        with shop.paused():
            time.sleep(2 * shop.settings.fetch_wait_ms / 1_000)  # the fetch that is under way ends empty
            send_to(shop.kafka.brokers, shop.topic, [Event(b"never read", None, valid=False)], 0)
            for deletion in admin.delete_topics([shop.topic], operation_timeout=10).values():
                deletion.result()
            wait_until(lambda: shop.topic not in admin.list_topics(timeout=5).topics, "it is deleted", STALL_S)
            for creation in admin.create_topics([NewTopic(shop.topic, shop.partitions, 1)]).values():
                creation.result()
