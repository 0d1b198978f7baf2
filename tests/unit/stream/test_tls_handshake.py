"""TLS with a server that keeps silent, that is not trusted, or that does not trust the client."""

import gc
import socket
import warnings
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from state.errors import AccessRefused
from state.settings import Settings, load_settings
from state.store.redis.store import RedisStore
from stream.cli.errors import describe_error
from stream.cli.exit_codes import ExitCode
from stream.errors import TlsRefused
from stream.kafka import tls_handshake
from stream.kafka.config import kafka_python_config
from stream.kafka.customer_log import read_customer_log
from stream.kafka.topics import existing_topics
from tests.services.authority import Authority
from tests.services.tls_server import tls_server

pytestmark = pytest.mark.timeout(90)

PROBLEMS = {
    "expired": ("certificate has expired", "renew it on the server", "renew it on the server"),
    "other host": ("not valid for '127.0.0.1'", "NEXTBASKET_KAFKA_BROKERS", "NEXTBASKET_REDIS_URL"),
    "other authority": ("must have the authority", "NEXTBASKET_KAFKA_SSL_CAFILE", "ssl_ca_certs"),
    "no client certificate": ("of this client", "NEXTBASKET_KAFKA_SSL_CERTFILE", "ssl_certfile"),
}
"""What is wrong with a certificate: the cause, and the cure for Kafka and for Redis, as the messages have them."""


def kafka_settings(port: int, ca: Path) -> Settings:
    return load_settings(
        {
            "NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{port}",
            "NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SSL",
            "NEXTBASKET_KAFKA_SSL_CAFILE": str(ca),
        }
    )


def require_closed_sockets(settings: Settings) -> None:
    """Connect a client of kafka-python, which fails; a socket that it leaves open is an error here."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(KafkaError, match="bootstrap"):
            KafkaConsumer(**kafka_python_config(settings, bootstrap_timeout_ms=500))
        gc.collect()
    assert [str(one.message) for one in caught if one.category is ResourceWarning] == []


def test_a_silent_server_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_handshake, "LIMIT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        require_closed_sockets(kafka_settings(listener.getsockname()[1], Authority(tmp_path).ca))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_certificate_that_is_not_accepted_is_named_with_its_cure(problem: str, tmp_path: Path) -> None:
    served, other = Authority(tmp_path / "served"), Authority(tmp_path / "other")
    certificate = served.issue(
        "server", host="elsewhere.example" if problem == "other host" else "", expired=problem == "expired"
    )
    ca = other.ca if problem == "other authority" else served.ca
    cause, of_kafka, of_redis = PROBLEMS[problem]
    with tls_server(certificate, clients_of=served.ca if problem == "no client certificate" else None) as port:
        settings = kafka_settings(port, ca)
        require_closed_sockets(settings)
        with pytest.raises(TlsRefused, match=cause) as refused:
            existing_topics(settings, timeout_s=1.0)
        assert of_kafka in str(refused.value)
        code, sentence = describe_error(refused.value)
        assert (code, sentence) == (ExitCode.UNREACHABLE, str(refused.value))
        with closing(RedisStore(Settings(redis_url=f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={ca}"))) as store:
            with pytest.raises(AccessRefused, match=cause) as not_let_in:
                store.now()
            assert of_redis in str(not_let_in.value)


def test_the_list_of_erased_customers_names_the_cause_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.customer_log._TIMEOUT_S", 1.0)
    served = Authority(tmp_path)
    with tls_server(served.issue("server", expired=True)) as port, pytest.raises(TlsRefused, match="expired"):
        read_customer_log(kafka_settings(port, served.ca))
