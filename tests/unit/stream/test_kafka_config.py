import faust
import pytest

from state.errors import SettingsError
from state.settings import load_settings
from stream.kafka.config import confluent_config, faust_config, kafka_python_config

BROKERS = {"NEXTBASKET_KAFKA_BROKERS": "one:9092, two:9093"}
SASL = BROKERS | {
    "NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "NEXTBASKET_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "NEXTBASKET_KAFKA_SASL_USERNAME": "ann",
    "NEXTBASKET_KAFKA_SASL_PASSWORD": "secret",
}


def test_plain_brokers() -> None:
    settings = load_settings(BROKERS)
    confluent = confluent_config(settings)
    assert confluent["bootstrap.servers"] == "one:9092,two:9093"
    assert confluent["security.protocol"] == "PLAINTEXT"
    assert not any(key.startswith(("sasl", "ssl")) for key in confluent)
    assert kafka_python_config(settings, acks="all") == {
        "bootstrap_servers": ["one:9092", "two:9093"],
        "security_protocol": "PLAINTEXT",
        "acks": "all",
    }
    assert faust_config(settings) == {"broker": ["kafka://one:9092", "kafka://two:9093"]}


def test_a_configured_api_version() -> None:
    settings = load_settings(BROKERS | {"NEXTBASKET_KAFKA_API_VERSION": "2.3"})
    assert kafka_python_config(settings)["api_version"] == (2, 3)


def test_user_and_password_are_passed_to_every_client() -> None:
    settings = load_settings(SASL)
    confluent = confluent_config(settings)
    assert confluent["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (confluent["sasl.username"], confluent["sasl.password"]) == ("ann", "secret")
    kafka_python = kafka_python_config(settings)
    assert (kafka_python["sasl_plain_username"], kafka_python["sasl_plain_password"]) == ("ann", "secret")
    credentials = faust_config(settings)["broker_credentials"]
    assert isinstance(credentials, faust.SASLCredentials)
    assert (credentials.username, credentials.password) == ("ann", "secret")
    assert credentials.mechanism.value == "SCRAM-SHA-512"
    assert credentials.protocol.value == "SASL_PLAINTEXT"
    assert "secret" not in repr(settings)


def test_tls_with_sasl_checks_the_host_name() -> None:
    credentials = faust_config(load_settings(SASL | {"NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}))[
        "broker_credentials"
    ]
    assert credentials.protocol.value == "SASL_SSL"
    assert credentials.ssl_context.check_hostname


def test_tls_without_sasl() -> None:
    credentials = faust_config(load_settings(BROKERS | {"NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SSL"}))[
        "broker_credentials"
    ]
    assert isinstance(credentials, faust.SSLCredentials)


def test_missing_certificates_are_a_settings_error() -> None:
    settings = load_settings(
        BROKERS | {"NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SSL", "NEXTBASKET_KAFKA_SSL_CAFILE": "/no/such/file"}
    )
    with pytest.raises(SettingsError, match="NEXTBASKET_KAFKA_SSL"):
        faust_config(settings)


def test_missing_brokers_are_a_settings_error() -> None:
    for config in (confluent_config, kafka_python_config, faust_config):
        with pytest.raises(SettingsError, match="NEXTBASKET_KAFKA_BROKERS is not set"):
            config(load_settings({}))
