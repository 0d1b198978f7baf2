"""A dead-letter topic that the worker may not write to, on a real Kafka that checks rights."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from stream.kafka.dead_letter_topic import DeadLetterTopic
from tests.integration.test_dead_letter_topic import BAD, GOOD, LIMIT_S, Shop
from tests.services.choice import Service
from tests.services.group import wait_until
from tests.services.kafka import KafkaServer

pytestmark = [pytest.mark.timeout(240), pytest.mark.durable]

RIGHTS = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
"""


class GuardedKafka(KafkaServer):
    """Everybody may do everything to a topic without rules."""

    def _prepare(self) -> None:
        super()._prepare()
        with (self.folder / "server.properties").open("a") as properties:
            properties.write(RIGHTS)


@pytest.fixture
def shop(environment: dict[str, str], tmp_path: Path) -> Iterator[Shop]:
    with GuardedKafka() as server:
        variables = environment | {"NEXTBASKET_KAFKA_BROKERS": server.brokers}
        shop = Shop(variables, Service(server.brokers, "local"), tmp_path / "worker.log")
        yield shop
        shop.worker.end()
        shop.group.close()


def forbid(admin: AdminClient, topic: str) -> None:
    for operation, permission in (
        (AclOperation.ALL, AclPermissionType.ALLOW),
        (AclOperation.WRITE, AclPermissionType.DENY),
    ):
        rule = AclBinding(
            ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, permission
        )
        for made in admin.create_acls([rule]).values():
            made.result()


def allow(admin: AdminClient, topic: str) -> None:
    every = AclBindingFilter(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        "User:ANONYMOUS",
        "*",
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    for deleted in admin.delete_acls([every]).values():
        deleted.result()


def test_a_forbidden_topic_is_named_and_waited_for(shop: Shop) -> None:
    forbid(shop.admin, shop.letters)
    topic = DeadLetterTopic(shop.settings)
    wait_until(lambda: topic.check() is not None, "the rule is in force", LIMIT_S)
    shop.start()
    shop.wait_until_logged(f"The dead-letter topic cannot be used: {shop.letters} may not be written to")
    shop.send(GOOD, BAD)
    shop.wait_until_logged(f"Waiting for dead-letter topic: {shop.letters} may not be written to; give the user")
    wait_until(lambda: shop.recommendations() == 1, "the good event is not delayed", LIMIT_S)
    assert shop.group.done() == 0
    allow(shop.admin, shop.letters)
    shop.wait_until_done()
    assert shop.received() == [BAD]


def test_a_topic_that_becomes_forbidden_is_gone_around(shop: Shop) -> None:
    shop.start(NEXTBASKET_DEAD_LETTERS="redis")
    shop.send(BAD)
    shop.wait_until_done()
    forbid(shop.admin, shop.letters)
    shop.send(BAD + b"2", GOOD)
    shop.wait_until_done()
    shop.wait_until_logged(f"Set 1 dead letter aside in Redis: {shop.letters} may not be written to")
    assert shop.recommendations() == 1
    allow(shop.admin, shop.letters)
    wait_until(lambda: len(shop.received()) == 2, "the letter is sent once it may be", LIMIT_S)
