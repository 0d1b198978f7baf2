"""Which Kafka and which Redis a test run gets, in this order: given, Docker, local, embedded.

The choice is made without starting anything, so that a run can say at its top what it will use; a service starts when
the first test asks for it.
"""

import contextlib
import gc
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.services import kafka, redis
from tests.services.errors import ServiceError

Kind = Literal["given", "docker", "local", "embedded"]
WORDS: dict[Kind, str] = {
    "given": "from the environment",
    "docker": "in Docker (testcontainers)",
    "local": "installed on this machine",
    "embedded": "embedded, so tests marked durable are skipped",
}

KAFKA_VARIABLE = "NEXTBASKET_TEST_KAFKA"
REDIS_VARIABLE = "NEXTBASKET_TEST_REDIS"
REQUIRE_VARIABLE = "NEXTBASKET_REQUIRE_REAL"


@dataclass(frozen=True)
class Service:
    """A running service: its address (brokers, or a Redis URL), and which kind it is."""

    address: str
    kind: Kind

    @property
    def real(self) -> bool:
        """Whether it is the real thing, whose data outlives a crash."""
        return self.kind != "embedded"


def docker_answers() -> bool:
    """Whether a Docker engine answers on this machine."""
    import docker
    from docker.errors import DockerException

    answers = False
    with warnings.catch_warnings():
        # Docker's client forgets its socket where nobody listens.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=3)
            answers = bool(client.ping())
            client.close()
        except (DockerException, OSError):
            answers = False
        gc.collect()
    return answers


class Services:
    """The services of one test run; each is started once, when first asked for, and all are ended by ``close``.

    Args:
        environ: where ``NEXTBASKET_TEST_KAFKA`` (brokers), ``NEXTBASKET_TEST_REDIS`` (URL) and
            ``NEXTBASKET_REQUIRE_REAL`` ("1": an embedded service is an error) are read from.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._given = {"kafka": environ.get(KAFKA_VARIABLE, ""), "redis": environ.get(REDIS_VARIABLE, "")}
        self.require_real = environ.get(REQUIRE_VARIABLE, "") not in ("", "0")
        docker = not all(self._given.values()) and docker_answers()
        self.missing = {"kafka": kafka.missing_tools(), "redis": redis.missing_tools()}
        self.planned: dict[str, Kind] = {}
        for name, given in self._given.items():
            rest: Kind = "docker" if docker else "embedded" if self.missing[name] else "local"
            self.planned[name] = "given" if given else rest
        self._running: dict[str, Service] = {}
        self._end = contextlib.ExitStack()

    def describe(self) -> str:
        """One sentence for the top of a test run."""
        return "; ".join(
            f"{title}: {WORDS[self.planned[name]]}" for name, title in (("kafka", "Kafka"), ("redis", "Redis"))
        )

    def not_real(self) -> str | None:
        """Why tests that need durability cannot run here, or None when both services are real."""
        lacking = [name for name, kind in self.planned.items() if kind == "embedded"]
        if not lacking:
            return None
        wanted = sorted({command for name in lacking for command in self.missing[name]})
        return (
            f"needs a real Kafka and a real Redis, and {' and '.join(lacking)} would be embedded: set {KAFKA_VARIABLE} "
            f"and {REDIS_VARIABLE}, start a Docker engine, or install {', '.join(wanted) or 'them'}"
        )

    def kafka(self) -> Service:
        """The broker; its address is "host:port"."""
        return self._service("kafka")

    def redis(self) -> Service:
        """The Redis; its address is a URL."""
        return self._service("redis")

    def close(self) -> None:
        """End what was started."""
        self._running.clear()
        self._end.close()

    def _service(self, name: str) -> Service:
        if name not in self._running:
            kind = self.planned[name]
            try:
                self._running[name] = Service(self._start(name, kind), kind)
            except ServiceError:
                # A local one can fail to come up, for example when nothing can be downloaded here.
                if self.require_real or kind == "embedded":
                    raise
                self.planned[name] = "embedded"
                return self._service(name)
        return self._running[name]

    def _start(self, name: str, kind: Kind) -> str:
        match kind, name:
            case "given", _:
                return self._given[name]
            case "docker", "kafka":
                from testcontainers.community.kafka import KafkaContainer

                return str(self._container(KafkaContainer().with_kraft()).get_bootstrap_server())
            case "docker", _:
                from testcontainers.community.redis import RedisContainer

                container = self._container(RedisContainer("redis:7.4"))
                return f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(container.port)}/0"
            case "local", "kafka":
                return self._end.enter_context(kafka.KafkaServer()).brokers
            case "local", _:
                return self._end.enter_context(redis.RedisServer(fsync="everysec")).url
            case _, "kafka":
                from stream.tools.embedded import embedded_kafka

                return str(self._end.enter_context(embedded_kafka()))
            case _:
                from stream.tools.embedded import embedded_redis

                return str(self._end.enter_context(embedded_redis()))

    def _container(self, container: Any) -> Any:
        try:
            return self._end.enter_context(container)
        except Exception as error:  # docker, requests and testcontainers each raise their own
            raise ServiceError(f"Docker could not start {container.image}: {error}") from error
