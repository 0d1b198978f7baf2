"""Failures name what has to be mended: certificates, passwords, damaged files. Secrets are not shown."""

import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException

from state.errors import SettingsError
from state.settings import Settings, load_settings
from state.store.redis.client import connect
from stream.errors import BrokerRefused, BrokerUnavailable, CannotStart
from stream.kafka import topics
from stream.kafka.config import broker_list, confluent_config, kafka_python_config
from stream.kafka.topics import ensure_topics
from stream.worker import _require_topics
from training.features.text import TEXTS, VECTORS, TermVectors, load_text


@pytest.mark.parametrize(
    "url", ["redis://user:hush@host/0", "rediss+cluster://:hush@a:1,b:2", "redis://host/0?password=hush"]
)
def test_the_text_of_settings_has_no_password(url: str) -> None:
    settings = load_settings(
        {
            "NEXTBASKET_REDIS_URL": url,
            "NEXTBASKET_REDIS_PASSWORD": "hush",
            "NEXTBASKET_KAFKA_SASL_PASSWORD": "hush",
            "NEXTBASKET_API_KEYS": "hush",
            "NEXTBASKET_REGISTRY": "s3://key:hush@bucket/models",
        }
    )
    assert "hush" not in f"{settings!r} {settings}"
    assert settings.redis_url == url
    assert "max_lines=10000" in repr(settings)


@pytest.mark.parametrize("name", ["kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile"])
def test_a_certificate_for_kafka_that_is_missing_is_named(name: str) -> None:
    values: dict[str, Any] = {name: "/no/such/ca.pem"}
    settings = Settings(kafka_brokers="localhost:1", kafka_security_protocol="SSL", **values)
    for configure in (broker_list, confluent_config, kafka_python_config, ensure_topics):
        with pytest.raises(SettingsError, match=f"NEXTBASKET_{name.upper()} is /no/such/ca.pem, which cannot be read"):
            configure(settings)


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster", "rediss+sentinel"])
def test_a_certificate_for_redis_that_is_missing_is_named(scheme: str) -> None:
    settings = Settings(redis_url=f"{scheme}://localhost:1/service?ssl_ca_certs=/no/such/ca.pem")
    with pytest.raises(SettingsError, match=r"names /no/such/ca.pem in ssl_ca_certs, which cannot be read"):
        connect(settings)


class RefusingAdmin:
    """Kafka's client where the broker refuses the password: calls time out, and the cause is reported apart."""

    code = KafkaError._AUTHENTICATION

    def __init__(self, config: dict[str, Any]) -> None:
        self._report = config["error_cb"]

    def list_topics(self, timeout: float) -> None:
        self._report(KafkaError(self.code, "sasl_plaintext://host:1/bootstrap: Authentication failed"))
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata"))

    def poll(self, timeout: float) -> None:
        pass


def test_a_wrong_password_of_kafka_ends_a_worker_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "AdminClient", RefusingAdmin)
    settings = Settings(kafka_brokers="host:1")
    with pytest.raises(BrokerRefused, match=r"refuses the user or password .*NEXTBASKET_KAFKA_SASL_PASSWORD"):
        ensure_topics(settings)
    with pytest.raises(CannotStart, match="refuses the user or password") as error:
        _require_topics(settings)
    assert not isinstance(error.value, BrokerUnavailable)  # which is waited out
    monkeypatch.setattr(RefusingAdmin, "code", KafkaError._TRANSPORT)
    with pytest.raises(BrokerUnavailable) as waited_out:
        _require_topics(settings)
    assert not isinstance(waited_out.value, BrokerRefused)


def save(folder: Path, texts: list[str], **arrays: Any) -> None:
    (folder / TEXTS).write_bytes(msgspec.json.encode({"encoder": "TermVectors", "texts": texts}))
    np.savez_compressed(folder / VECTORS, **arrays)


def test_text_vectors_that_unpack_to_more_than_their_texts_need_are_refused(tmp_path: Path) -> None:
    save(tmp_path, ["tea"], vectors=np.zeros((1_000, 4_096), np.float32))
    assert (tmp_path / VECTORS).stat().st_size < 100_000
    with pytest.raises(ValueError, match="unpack to 16,384,128 bytes; 1 texts have"):
        load_text(tmp_path)
    save(tmp_path, ["tea"], vectors=np.zeros((1, 8), np.float32), more=np.zeros(10_000_000))
    with pytest.raises(ValueError, match="unpack to"):
        load_text(tmp_path)


def test_a_header_that_claims_more_than_the_file_has_is_refused(tmp_path: Path) -> None:
    save(tmp_path, ["tea"], vectors=np.zeros((1, 8), np.float32))
    claimed = np.lib.format.header_data_from_array_1_0(np.zeros((1, 8), np.float32)) | {"shape": (10**6, 10**6)}
    with zipfile.ZipFile(tmp_path / VECTORS, "w") as file, file.open("vectors.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, claimed)
    with pytest.raises(ValueError, match="have the shape"):
        load_text(tmp_path)


@pytest.mark.parametrize("texts", [[], ["tea", "mug"]])
def test_text_vectors_that_were_saved_are_read(texts: list[str], tmp_path: Path) -> None:
    vectors = np.ones((len(texts), 64), np.float32)
    TermVectors(texts, vectors).save(tmp_path)
    read = load_text(tmp_path)
    assert isinstance(read, TermVectors)
    assert np.array_equal(read.vectors, vectors)
