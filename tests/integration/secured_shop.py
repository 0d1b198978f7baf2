"""A shop whose Kafka and Redis let nobody in without credentials; a user a command, with the documented rights."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from state.settings import Settings, load_settings
from tests.integration.documented_rights import kafka_rights, redis_rights
from tests.integration.workers import Worker
from tests.services.authority import Authority
from tests.services.process import free_port
from tests.services.relay import Relay
from tests.services.secured import Right, SecuredKafka, SecuredRedis
from tests.unit.stream.harness import invoice

LIMIT_S = 180.0
NAMESPACE = "shop"
CODES = [f"SECRETCODE{number}" for number in range(9)]
CUSTOMERS = [f"secret-customer-{number}" for number in range(12)]
SETUP = "creating the topics"
WITHOUT_RECORDS = {"erase --rewrite": (".dead-letter", "-scores"), "redrive": (".items",)}
"""Ends of the names of topics that have nothing here for a command to write or to delete."""


@dataclass
class Shop:
    """The servers, the users of the page, and what a shop sends."""

    folder: Path
    authority: Authority
    kafka: SecuredKafka
    redis: SecuredRedis
    kafka_relay: Relay
    redis_relay: Relay
    plain_relay: Relay
    kafka_rights: dict[str, set[Right]]
    redis_rights: dict[str, list[str]]
    used: dict[str, set[Right]] = field(default_factory=dict)
    worker: Worker | None = None

    @property
    def trusting(self) -> dict[str, str]:
        """Variables of every user."""
        return {
            "NEXTBASKET_NAMESPACE": NAMESPACE,
            "NEXTBASKET_PARTITIONS": "2",
            "NEXTBASKET_REGISTRY": str(self.folder / "registry"),
            "NEXTBASKET_LOG_FORMAT": "json",
            "NEXTBASKET_ERASURE_KEY": "0123456789abcdef" * 4,
            "NEXTBASKET_KAFKA_SSL_CAFILE": str(self.authority.ca),
            "NEXTBASKET_MAX_DAYS_AHEAD": "1",
        }

    def access(self, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The variables by which a user comes to Kafka."""
        if mechanism == "SSL":
            certificate, key = self.authority.issue(user)
            return self.trusting | {
                "NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{self.kafka.tls_port}",
                "NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SSL",
                "NEXTBASKET_KAFKA_SSL_CERTFILE": str(certificate),
                "NEXTBASKET_KAFKA_SSL_KEYFILE": str(key),
            }
        variables = self.trusting | {
            "NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{self.kafka_relay.port}",
            "NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "NEXTBASKET_KAFKA_SASL_MECHANISM": mechanism,
        }
        if mechanism == "OAUTHBEARER":
            token = self.folder / f"{user}.token"
            token.write_text(self.kafka.tokens.token(user) + "\n")
            return variables | {"NEXTBASKET_KAFKA_SASL_TOKEN_FILE": str(token)}
        return variables | {
            "NEXTBASKET_KAFKA_SASL_USERNAME": user,
            "NEXTBASKET_KAFKA_SASL_PASSWORD": password(user),
        }

    def variables(self, command: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The variables of the user of a command; without rights in a service, that service is not set."""
        user, found = user_of(command), dict(self.trusting)
        if command in self.kafka_rights:
            found |= self.access(user, mechanism)
        if command in self.redis_rights:
            found |= {
                "NEXTBASKET_REDIS_URL": self.redis.address(user, port=self.redis_relay.port),
                "NEXTBASKET_REDIS_PASSWORD": password(user),
            }
        return found

    def settings(self, command: str) -> Settings:
        return load_settings(self.variables(command))

    def require_no_denial(self, command: str) -> None:
        """No right was missing since the last call; notes those that were used."""
        for user, (used, denied) in self.kafka.decisions().items():
            self.used.setdefault(user, set()).update(used)
            assert not denied, f"Kafka denied {user} {sorted(denied)}, which {command} needs: add it to the page"
        refused = self.redis.denied()
        assert not refused, f"Redis denied {sorted(refused)}, which {command} needs: add it to the page"

    def require_use(self, command: str) -> None:
        """Each right that is documented for a command was used, but for what it found no record to use it on."""
        used = self.used[user_of(command)]
        unused = {
            right
            for right in self.kafka_rights[command]
            if not right[2].endswith(WITHOUT_RECORDS.get(command, ()))
            and not any(right[:2] == one[:2] and fnmatchcase(one[2], right[2]) for one in used)
        }
        assert not unused, f"{command} does not use {sorted(unused)}"


def user_of(command: str) -> str:
    return command.replace(" ", "-").replace("--", "")


def password(user: str) -> str:
    return f"password-of-{user}"


def events() -> list[dict[str, Any]]:
    found = []
    for number in range(240):
        date = f"2011-{number // 20 % 12 + 1:02d}-{number % 28 + 1:02d}T10:00:00Z"
        codes = (CODES[number % 9], CODES[number * 7 % 9])
        found.append(invoice(f"secret-invoice-{number}", CUSTOMERS[number % 12], date, *sorted(set(codes))))
    return found


@contextmanager
def secured_shop(folder: Path) -> Iterator[Shop]:
    """Start both servers, let the users of the page in, and give them what it documents."""
    of_kafka, of_redis = kafka_rights(NAMESPACE), redis_rights()
    users = [user_of(command) for command in {*of_kafka, *of_redis}]
    authority = Authority(folder / "authority")
    redis = SecuredRedis(folder / "redis", authority)
    with ExitStack() as closes:
        port, plain_port = free_port(), free_port()
        passwords = {user: password(user) for user in users}
        kafka = SecuredKafka(folder / "kafka", authority, passwords, advertised=port, plain_advertised=plain_port)
        kafka_relay = closes.enter_context(Relay(port, "127.0.0.1", kafka.sasl_port, record=True))
        plain_relay = closes.enter_context(Relay(plain_port, "127.0.0.1", kafka.port, record=True))
        redis_relay = closes.enter_context(Relay(free_port(), "127.0.0.1", redis.port, record=True))
        closes.enter_context(kafka)
        closes.enter_context(redis)
        kafka.store_scram_passwords(users)
        for command, rights in of_kafka.items():
            kafka.grant(user_of(command), rights)
        with redis.trusted() as client:
            for command, granted in of_redis.items():
                user = user_of(command)
                rules = ("reset", "on", f">{password(user)}", f"~{NAMESPACE}:*", *granted)
                client.execute_command("ACL", "SETUSER", user, *rules)
        yield Shop(folder, authority, kafka, redis, kafka_relay, redis_relay, plain_relay, of_kafka, of_redis)


def send(shop: Shop, topic: str, values: list[bytes | None], *, key: bytes | None = None) -> None:
    """Write into a topic as somebody with all rights."""
    producer = Producer({"bootstrap.servers": shop.kafka.brokers, "log_level": 0})
    for value in values:
        producer.produce(f"{NAMESPACE}.{topic}", value, key or str(hash(value)).encode())
    assert producer.flush(30) == 0


def encoded() -> list[bytes]:
    return [json.dumps(event).encode() for event in events()]
