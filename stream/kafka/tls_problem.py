"""Asks the brokers by TLS why it fails: librdkafka says that a certificate is refused, but not why."""

import socket
import ssl
from contextlib import suppress

from state.settings import Settings
from state.tls import certificate_problem
from stream.kafka.config import ssl_context

_ALERT_WAIT_S = 0.5
"""With TLS 1.3 a server refuses the certificate of a client, or that there is none, only after the handshake."""


def tls_problem(settings: Settings, *, timeout_s: float = 3.0) -> str | None:
    """Which broker cannot be used for its certificate or that of this client, and what to do; None where none says so.

    Raises:
        SettingsError: The certificates of the settings cannot be used.
    """
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    context = ssl_context(settings)
    for broker in settings.brokers:
        host, _, port = broker.rpartition(":")
        host = host.strip("[]")
        try:
            with (
                socket.create_connection((host, int(port)), timeout=timeout_s) as connection,
                context.wrap_socket(connection, server_hostname=host) as secured,
            ):
                secured.settimeout(_ALERT_WAIT_S)
                with suppress(TimeoutError):
                    secured.recv(1)
        except OSError as error:  # ssl.SSLError is one
            problem = certificate_problem(
                str(error),
                address="NEXTBASKET_KAFKA_BROKERS",
                authorities="NEXTBASKET_KAFKA_SSL_CAFILE",
                certificate="NEXTBASKET_KAFKA_SSL_CERTFILE and NEXTBASKET_KAFKA_SSL_KEYFILE",
            )
            if problem is not None:
                return f"Kafka at {broker} cannot be used: {problem}."
            if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
                return f"Kafka at {broker} does not answer by TLS; see NEXTBASKET_KAFKA_SECURITY_PROTOCOL."
    return None
