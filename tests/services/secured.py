"""A Kafka and a Redis that let nobody in without a certificate or a password, and allow only what was granted.

The Kafka has one listener for tests (no password, all rights) and two for the programs under test: ``SASL_SSL`` with
PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER, and ``SSL`` with client certificates. Its authorizer logs what it
allows and denies. The Redis speaks TLS only and asks for client certificates.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from redis import Redis
from redis.exceptions import RedisError

from tests.services.authority import Authority, TokenIssuer
from tests.services.kafka import KafkaServer
from tests.services.process import free_port
from tests.services.redis import RedisServer

_LOGIN = "org.apache.kafka.common.security"
_PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{sasl_port},SSL://127.0.0.1:{tls_port},\
CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain_advertised},SASL_SSL://127.0.0.1:{advertised},SSL://127.0.0.1:{tls_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required {users};
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class=\
{login}.oauthbearer.OAuthBearerValidatorCallbackHandler
sasl.oauthbearer.jwt.validator.class=\
{login}.oauthbearer.BrokerJwtValidator
listener.name.sasl_ssl.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=file://{key_set}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
_DECISION = re.compile(
    r"Principal = User:(?P<user>.+?) is (?P<decision>Allowed|Denied) operation = (?P<operation>\w+) from host = \S+ "
    r"on resource = (?P<kind>\w+):\w+:(?P<name>\S+) for request"
)
_TRUSTED = "ANONYMOUS"

Right = tuple[str, str, str]
"""Operation, kind of resource and its name, in the words of Kafka: ``("READ", "TOPIC", "invoices")``."""


class SecuredKafka(KafkaServer):
    """A broker that checks who asks, and for what.

    Args:
        folder: Where its data and certificates lie.
        passwords: By user; for PLAIN and both SCRAM mechanisms.
        advertised: The port of the SASL listener that clients come back to: that of a relay; 0: the listener's.
        plain_advertised: The same of the listener for tests.
    """

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        passwords: dict[str, str],
        *,
        advertised: int = 0,
        plain_advertised: int = 0,
    ) -> None:
        super().__init__(folder)
        self._authority = authority
        self._passwords = passwords
        self.tokens = TokenIssuer(folder)
        self.sasl_port, self.tls_port = free_port(), free_port()
        self._advertised = advertised or self.sasl_port
        self._plain_advertised = plain_advertised or self.port
        self._read_to = 0

    def _java(self, *arguments: str) -> list[str]:
        command = super()._java(*arguments)
        options = [
            f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{self.tokens.key_set}",
            "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=debug",
            # It notices by itself that a client came with a wrong certificate.
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.network.Selector=error",
        ]
        return [command[0], *options, *command[1:]]

    def _prepare(self) -> None:
        certificate, key = self._authority.issue("broker")
        keystore = self.folder / "keystore.pem"
        keystore.write_bytes(key.read_bytes() + certificate.read_bytes())
        super()._prepare()
        properties = self.folder / "server.properties"
        lines = [
            line
            for line in properties.read_text().splitlines()
            if not line.startswith(("listeners=", "advertised.listeners=", "listener.security.protocol.map="))
        ]
        more = _PROPERTIES.format(
            port=self.port,
            sasl_port=self.sasl_port,
            advertised=self._advertised,
            plain_advertised=self._plain_advertised,
            tls_port=self.tls_port,
            controller_port=self.controller_port,
            keystore=keystore,
            truststore=self._authority.ca,
            key_set=self.tokens.key_set,
            login=_LOGIN,
            users=" ".join(f'user_{user}="{password}"' for user, password in self._passwords.items()),
        )
        properties.write_text("\n".join(lines) + more)

    @cached_property
    def trusted(self) -> AdminClient:
        """A client with all rights."""
        return AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})

    def store_scram_passwords(self, users: Sequence[str]) -> None:
        """Let these users in by SCRAM, with the passwords they have for PLAIN."""
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            changes: list[UserScramCredentialAlteration] = [
                UserScramCredentialUpsertion(
                    user, ScramCredentialInfo(mechanism, 4_096), self._passwords[user].encode()
                )
                for user in users
            ]
            for done in self.trusted.alter_user_scram_credentials(changes, request_timeout=20).values():
                done.result()

    def grant(self, user: str, rights: Iterable[Right]) -> None:
        """Give rights to a user; a name that ends with ``*`` is a prefix."""
        for made in self.trusted.create_acls([_binding(user, right) for right in rights]).values():
            made.result()

    def revoke(self, user: str, right: Right) -> None:
        """Take one right away again."""
        one = _binding(user, right)
        filtered = AclBindingFilter(
            one.restype,
            one.name,
            one.resource_pattern_type,
            one.principal,
            one.host,
            one.operation,
            one.permission_type,
        )
        for deleted in self.trusted.delete_acls([filtered]).values():
            assert deleted.result(), f"{user} had no right {right}"

    def decisions(self) -> dict[str, tuple[set[Right], set[Right]]]:
        """By user: the rights that were used and those that were refused, since the last call."""
        found: dict[str, tuple[set[Right], set[Right]]] = defaultdict(lambda: (set(), set()))
        with self.log.open("rb") as log:
            log.seek(self._read_to)
            text = log.read()
            text = text[: text.rfind(b"\n") + 1]  # a line that is still being written is read next time
            self._read_to += len(text)
        for match in _DECISION.finditer(text.decode(errors="replace")):
            if match["user"] != _TRUSTED:
                kind = match["kind"].replace("TransactionalId", "Transactional_Id").upper()
                right = (match["operation"], kind, match["name"])
                found[match["user"]][match["decision"] == "Denied"].add(right)
        return found


def _binding(user: str, right: Right) -> AclBinding:
    operation, kind, name = right
    prefix = name.endswith("*")
    return AclBinding(
        ResourceType[kind],
        name.rstrip("*"),
        ResourcePatternType.PREFIXED if prefix else ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )


class SecuredRedis(RedisServer):
    """A Redis on TLS alone, which asks for client certificates; ``admin`` may do everything, others what is granted."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder)
        self._authority = authority
        self.certificate = authority.issue("redis-client")

    @property
    def options(self) -> str:
        """The options of a URL: the authority and the client's certificate."""
        certificate, key = self.certificate
        return f"ssl_ca_certs={self._authority.ca}&ssl_certfile={certificate}&ssl_keyfile={key}"

    @property
    def url(self) -> str:
        """The address for a client that gives user and password elsewhere."""
        return self.address()

    def address(self, user: str = "", *, port: int | None = None) -> str:
        """The address for a user, whose password is a setting."""
        at = f"{user}@" if user else ""
        return f"rediss://{at}127.0.0.1:{port or self.port}/0?{self.options}"

    def _prepare(self) -> None:
        super()._prepare()
        self._files = self._authority.issue("redis")

    def _command(self) -> list[str]:
        return [
            *super()._command(),
            *("--port", "0", "--tls-port", str(self.port), "--tls-ca-cert-file", str(self._authority.ca)),
            *("--tls-cert-file", str(self._files[0]), "--tls-key-file", str(self._files[1])),
        ]

    def trusted(self) -> Redis:
        """A client with all rights."""
        return Redis.from_url(self.url)

    def denied(self) -> set[tuple[str, str]]:
        """Users, and what they were not allowed since the last call."""
        with self.trusted() as client:
            entries = client.execute_command("ACL", "LOG")
            client.execute_command("ACL", "LOG", "RESET")
        pairs = [one if isinstance(one, dict) else dict(zip(one[::2], one[1::2], strict=True)) for one in entries]
        return {(bytes(one[b"username"]).decode(), bytes(one[b"object"]).decode()) for one in pairs}

    def _answers(self) -> bool:
        with self.trusted() as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False
