"""Fixtures of the whole suite: a Kafka, a Redis, and settings with a namespace of their own for every test."""

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient
from hypothesis import settings as hypothesis_settings
from redis import Redis

from tests.services.choice import KAFKA_VARIABLE, REDIS_VARIABLE, REQUIRE_VARIABLE, Service, Services
from tests.services.errors import ServiceError

if TYPE_CHECKING:
    from state.settings import Settings

COVERAGE_VARIABLE = "NEXTBASKET_TEST_COVERAGE"
"""Per cent, set by .ci/run after the unit tests."""

EXAMPLES_VARIABLE = "NEXTBASKET_TEST_EXAMPLES"
"""Number of examples of the property tests of the selection; where it is set, all property tests draw new examples."""

SERVICES = pytest.StashKey[Services]()

# The same examples on every run, so that a change is what makes a test fail; and no clock, which other work slows.
hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None)
if EXAMPLES_VARIABLE not in os.environ:
    hypothesis_settings.load_profile("repeatable")

# Against the embedded broker kafka-python cannot negotiate its version.
EMBEDDED_API_VERSION = "2.3"


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that runs us in the background ignores Ctrl-C for us, and what tests start would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    services = Services()
    if services.require_real and (reason := services.not_real()):
        raise pytest.UsageError(f"{REQUIRE_VARIABLE} is set: {reason}")
    config.stash[SERVICES] = services
    # These are for this file. Whatever the tests start gets the user's settings only, and refuses unknown ones.
    for variable in (KAFKA_VARIABLE, REDIS_VARIABLE, REQUIRE_VARIABLE):
        os.environ.pop(variable, None)


def pytest_unconfigure(config: pytest.Config) -> None:
    if services := config.stash.get(SERVICES, None):
        services.close()


def pytest_report_header(config: pytest.Config) -> str:
    return f"services: {config.stash[SERVICES].describe()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"services: {config.stash[SERVICES].describe()}")
    if coverage := os.environ.get(COVERAGE_VARIABLE):
        terminalreporter.write_line(f"coverage of the unit tests: {coverage} %")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("durable") is None:
        return
    services = item.config.stash[SERVICES]
    _started(services, "kafka")  # one that fails to come up may turn out to be embedded
    _started(services, "redis")
    if reason := services.not_real():
        pytest.skip(reason)


def _started(services: Services, name: str) -> Service:
    try:
        return services.kafka() if name == "kafka" else services.redis()
    except ServiceError as error:
        if services.require_real:
            pytest.exit(f"{REQUIRE_VARIABLE} is set: {error}", returncode=3)
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Service:
    """The session's broker; ``address`` is "host:port"."""
    return _started(request.config.stash[SERVICES], "kafka")


@pytest.fixture(scope="session")
def redis(request: pytest.FixtureRequest) -> Service:
    """The session's Redis; ``address`` is a URL."""
    return _started(request.config.stash[SERVICES], "redis")


@pytest.fixture
def environment(kafka: Service, redis: Service, tmp_path: Path) -> Iterator[dict[str, str]]:
    """``NEXTBASKET_*`` variables for the session's services and a fresh namespace; its topics and keys go afterwards.

    For a command in a process of its own: ``subprocess.Popen([...], env=os.environ | environment)``.
    """
    namespace = f"t{uuid.uuid4().hex[:10]}"
    variables = {
        "NEXTBASKET_KAFKA_BROKERS": kafka.address,
        "NEXTBASKET_REDIS_URL": redis.address,
        "NEXTBASKET_REGISTRY": str(tmp_path / "registry"),
        "NEXTBASKET_NAMESPACE": namespace,
        "NEXTBASKET_PARTITIONS": "4",
        "NEXTBASKET_LOG_FORMAT": "json",
    }
    if not kafka.real:
        variables["NEXTBASKET_KAFKA_API_VERSION"] = EMBEDDED_API_VERSION
    yield variables
    _delete_topics(kafka, namespace)
    with Redis.from_url(redis.address) as client:
        for key in client.scan_iter(f"{namespace}:*", count=1000):
            client.unlink(key)


@pytest.fixture
def settings(environment: dict[str, str]) -> "Settings":
    """Settings of ``environment``, for code that runs in the test's own process."""
    from state.settings import load_settings

    return load_settings(environment)


def _delete_topics(kafka: Service, namespace: str) -> None:
    if not kafka.real:
        return  # the mock cluster knows no DeleteTopics
    admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
    topics = [topic for topic in admin.list_topics(timeout=10).topics if topic.startswith(f"{namespace}.")]
    if topics:
        for deletion in admin.delete_topics(topics, operation_timeout=10).values():
            deletion.result()
