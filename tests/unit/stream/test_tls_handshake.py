"""The TLS handshakes of kafka-python with a server that keeps silent, and with one that is not trusted."""

import gc
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from state.settings import load_settings
from stream.kafka import tls_handshake
from stream.kafka.config import kafka_python_config
from tests.services.authority import Authority


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def connect(listener: socket.socket, ca: Path) -> None:
    """Connect over TLS, which fails; a socket that is left open is an error here."""
    settings = load_settings(
        {
            "NEXTBASKET_KAFKA_BROKERS": f"127.0.0.1:{listener.getsockname()[1]}",
            "NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SSL",
            "NEXTBASKET_KAFKA_SSL_CAFILE": str(ca),
        }
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(KafkaError, match="bootstrap"):
            KafkaConsumer(**kafka_python_config(settings, bootstrap_timeout_ms=500))
        gc.collect()
    assert [str(one.message) for one in caught if one.category is ResourceWarning] == []


@pytest.mark.timeout(60)
def test_a_silent_server_is_not_waited_for_without_end(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_handshake, "LIMIT_S", 0.3)
    connect(listener, Authority(tmp_path).ca)


@pytest.mark.timeout(60)
def test_the_socket_of_a_failed_handshake_is_closed(listener: socket.socket, tmp_path: Path) -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(*Authority(tmp_path / "served").issue("server"))

    def serve() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):  # the client refuses the certificate
                    served.wrap_socket(connection, server_side=True)

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        connect(listener, Authority(tmp_path / "other").ca)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()
