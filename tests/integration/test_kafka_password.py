"""A worker whose password Kafka refuses ends with a sentence, on a real broker with SASL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from state.settings import load_settings
from stream.cli.exit_codes import ExitCode
from stream.errors import BrokerRefused
from stream.kafka.topics import existing_topics
from tests.services import kafka as kafka_service
from tests.services.choice import Service
from tests.services.kafka import KafkaServer, missing_tools
from tests.services.process import free_port

pytestmark = pytest.mark.timeout(180)

LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a broker that asks for a password: alice's is ``right``."""
    if missing_tools():
        pytest.skip("needs Java and Maven")
    port = free_port()
    secured = f"SASL_PLAINTEXT://127.0.0.1:{port}"
    properties = kafka_service.PROPERTIES.replace(",CONTROLLER://", f",{secured},CONTROLLER://")
    properties = properties.replace("advertised.listeners=", f"advertised.listeners={secured},")
    properties = properties.replace("CONTROLLER:PLAINTEXT", "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT")
    properties += (
        "sasl.enabled.mechanisms=PLAIN\n"
        f'listener.name.sasl_plaintext.plain.sasl.jaas.config={LOGIN} required user_alice="right";\n'
    )
    monkeypatch.setattr(kafka_service, "PROPERTIES", properties)
    with KafkaServer(tmp_path / "kafka"):
        yield f"127.0.0.1:{port}"


def test_a_wrong_password_ends_a_worker_and_the_right_one_is_taken(
    secured: str, redis: Service, tmp_path: Path
) -> None:
    variables = {
        "NEXTBASKET_KAFKA_BROKERS": secured,
        "NEXTBASKET_REDIS_URL": redis.address,
        "NEXTBASKET_NAMESPACE": "password",
        "NEXTBASKET_REGISTRY": str(tmp_path / "registry"),
        "NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "NEXTBASKET_KAFKA_SASL_MECHANISM": "PLAIN",
        "NEXTBASKET_KAFKA_SASL_USERNAME": "alice",
        "NEXTBASKET_KAFKA_SASL_PASSWORD": "right",
    }
    assert existing_topics(load_settings(variables)) is not None
    wrong = variables | {"NEXTBASKET_KAFKA_SASL_PASSWORD": "hush-hush"}
    with pytest.raises(BrokerRefused):
        existing_topics(load_settings(wrong))
    worker = subprocess.run(
        [sys.executable, "-m", "stream", "worker"],
        env={name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")} | wrong,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert worker.returncode == ExitCode.UNREACHABLE
    assert "refuses the user or password" in worker.stderr
    assert "NEXTBASKET_KAFKA_SASL_PASSWORD" in worker.stderr
    assert "Traceback" not in worker.stderr
    assert "hush-hush" not in worker.stderr
