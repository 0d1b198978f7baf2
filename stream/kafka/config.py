"""The broker settings in the configuration of the three Kafka clients: confluent-kafka, kafka-python and Faust."""

import logging
import ssl
from pathlib import Path
from typing import Any

from state.errors import SettingsError
from state.settings import Settings
from stream.kafka.header_names import accept_in_kafka_python
from stream.kafka.tls_handshake import bound_in_kafka_python

logger = logging.getLogger(__name__)

EMBEDDED_API_VERSION = "2.3"
"""Value of ``NEXTBASKET_KAFKA_API_VERSION`` for the embedded broker, which kafka-python cannot detect."""
METADATA_MAX_AGE_MS = 5_000
"""Time within which a partition that is added is noticed."""


def broker_list(settings: Settings) -> list[str]:
    """The brokers as ``["host:port", …]``, to be asked for before each connection.

    Raises:
        SettingsError: None is set, or a certificate cannot be read; otherwise Kafka would seem to be unavailable.
    """
    if not settings.brokers:
        raise SettingsError("NEXTBASKET_KAFKA_BROKERS is not set; give it the brokers, for example localhost:9092.")
    for name in ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile"):
        if file := getattr(settings, name):
            try:
                Path(file).open("rb").close()
            except OSError as error:
                raise SettingsError(
                    f"NEXTBASKET_{name.upper()} is {file}, which cannot be read ({error.strerror})."
                ) from error
    if (token_file := _token_file(settings)) is not None:
        from stream.kafka.token_file import read_token

        try:
            read_token(token_file)
        except OSError as error:
            raise SettingsError(
                f"NEXTBASKET_KAFKA_SASL_TOKEN_FILE is {token_file}, which cannot be read ({error.strerror})."
            ) from error
        except ValueError as error:
            raise SettingsError(f"NEXTBASKET_KAFKA_SASL_TOKEN_FILE cannot be used: {error}.") from error
    return settings.brokers


def _token_file(settings: Settings) -> Path | None:
    """The file with the token, where the mechanism takes one."""
    return settings.kafka_sasl_token_file if settings.kafka_sasl_mechanism == "OAUTHBEARER" else None


def confluent_config(settings: Settings, **more: Any) -> dict[str, Any]:
    """Configuration for a client of confluent-kafka, whose log lines go to this module's logger.

    Raises:
        SettingsError: No broker is set.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": ",".join(broker_list(settings)),
        "security.protocol": settings.kafka_security_protocol,
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password.get_secret_value(),
        "ssl.ca.location": settings.kafka_ssl_cafile,
        "ssl.certificate.location": settings.kafka_ssl_certfile,
        "ssl.key.location": settings.kafka_ssl_keyfile,
    }
    if (token_file := _token_file(settings)) is not None:
        from stream.kafka.token_file import confluent_callback

        config["oauth_cb"] = confluent_callback(token_file)
    return {
        **{key: value for key, value in config.items() if value},
        # Producers, and consumers of a group, notice a partition that is added; librdkafka's default is five minutes.
        "topic.metadata.refresh.interval.ms": METADATA_MAX_AGE_MS,
        # ``RetryPolicy`` logs an outage once; the client would log it for every connection every few seconds.
        "log_level": 3,
        "logger": logger,
        **more,
    }


def kafka_python_config(settings: Settings, **more: Any) -> dict[str, Any]:
    """Configuration for a client of kafka-python, which then reads any header name, and does not wait for TLS for ever.

    Raises:
        SettingsError: No broker is set.
    """
    accept_in_kafka_python()
    bound_in_kafka_python()
    config: dict[str, Any] = {
        "bootstrap_servers": broker_list(settings),
        "security_protocol": settings.kafka_security_protocol,
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        "ssl_cafile": settings.kafka_ssl_cafile,
        "ssl_certfile": settings.kafka_ssl_certfile,
        "ssl_keyfile": settings.kafka_ssl_keyfile,
        "api_version": tuple(int(part) for part in settings.kafka_api_version.split(".") if part),
    }
    if (token_file := _token_file(settings)) is not None:
        from stream.kafka.token_file import KafkaPythonToken

        config["sasl_oauth_token_provider"] = KafkaPythonToken(token_file)
    return {**{key: value for key, value in config.items() if value}, **more}


def faust_config(settings: Settings) -> dict[str, Any]:
    """The brokers and the credentials of a Faust application.

    Raises:
        SettingsError: No broker is set, or a certificate cannot be read.
    """
    import faust

    config: dict[str, Any] = {"broker": [f"kafka://{broker}" for broker in broker_list(settings)]}
    protocol = settings.kafka_security_protocol
    context = ssl_context(settings) if protocol.endswith("SSL") else None
    if (token_file := _token_file(settings)) is not None:
        from stream.kafka.token_file import AiokafkaToken

        config["broker_credentials"] = faust.OAuthCredentials(oauth_cb=AiokafkaToken(token_file), ssl_context=context)
    elif protocol.startswith("SASL"):
        config["broker_credentials"] = faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
            mechanism=settings.kafka_sasl_mechanism or "PLAIN",
            ssl_context=context,
        )
    elif context is not None:
        config["broker_credentials"] = faust.SSLCredentials(context)
    return config


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """The authorities and the certificate of this client, for clients in Python.

    Raises:
        SettingsError: One cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_cafile or None)
        if settings.kafka_ssl_certfile:
            context.load_cert_chain(settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile or None)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"The certificates for Kafka cannot be used ({error}); check NEXTBASKET_KAFKA_SSL_*."
        ) from error
    return context
