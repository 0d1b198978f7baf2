"""The webhook command on a real Kafka: delivery, and where it continues after a failure."""

import subprocess
from pathlib import Path

import pytest

from state.settings import Settings
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import due_topic, ensure_topics
from stream.messages import Message
from tests.integration.workers import NEXTBASKET, clean_environment
from tests.unit.stream.endpoint import Request, endpoint
from tests.unit.stream.test_webhook import SECRET, is_authentic

pytestmark = pytest.mark.timeout(240)

CUSTOMERS = [f"c{number}" for number in range(40)]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text(SECRET)
    return path


def run(variables: dict[str, str], url: str, secret: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [NEXTBASKET, "webhook", "--url", url, "--secret-file", str(secret), "--until-end", *more],
        env=clean_environment(variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def publish(settings: Settings, rounds: int = 1) -> None:
    ensure_topics(settings, [due_topic(settings)])
    publisher = KafkaPublisher(settings)
    for number in range(rounds):
        publisher.publish(
            [
                Message(settings.topics.due, each.encode(), b'{"due_id":"%s-%d"}' % (each.encode(), number))
                for each in CUSTOMERS
            ]
        )
    publisher.close()


def test_every_message_is_delivered_once_signed_and_in_the_order_of_a_customer(
    environment: dict[str, str], settings: Settings, secret: Path
) -> None:
    publish(settings, rounds=2)
    with endpoint() as served:
        done = run(environment, served.url, secret)
        again = run(environment, served.url, secret)
    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    ids = [request.headers["webhook-id"] for request in served.requests]
    assert sorted(ids) == sorted(f"{each}-{number}" for each in CUSTOMERS for number in (0, 1))
    assert all(ids.index(f"{each}-0") < ids.index(f"{each}-1") for each in CUSTOMERS)
    assert all(map(is_authentic, served.requests))
    assert f"80 messages of {settings.topics.due} delivered." in done.stderr
    assert "0 messages" in again.stderr


def test_after_an_endpoint_that_refuses_delivery_continues_with_that_message(
    environment: dict[str, str], settings: Settings, secret: Path
) -> None:
    publish(settings)
    accepted: list[str] = []
    refuses = True

    def answer(request: Request, number: int) -> tuple[int, dict[str, str]]:
        if refuses and len(accepted) == 15:
            return 500, {}
        accepted.append(request.headers["webhook-id"])
        return 200, {}

    with endpoint(answer) as served:
        failed = run(environment, served.url, secret, "--give-up-after", "2s")
        assert failed.returncode == 5, failed.stderr
        assert "did not accept" in failed.stderr
        assert len(accepted) == 15
        refuses = False
        done = run(environment, served.url, secret)
    assert done.returncode == 0, done.stderr
    assert sorted(accepted) == sorted(f"{each}-0" for each in CUSTOMERS), "each once, none left out"


def test_a_refused_message_is_set_aside_and_sent_again_with_the_same_id(
    environment: dict[str, str], settings: Settings, secret: Path, tmp_path: Path
) -> None:
    publish(settings)
    letters, refuses = tmp_path / "refused.jsonl", True

    def answer(request: Request, number: int) -> tuple[int, dict[str, str]]:
        return (422 if refuses and request.headers["webhook-id"] == "c7-0" else 200), {}

    with endpoint(answer) as served:
        done = run(environment, served.url, secret, "--dead-letters", str(letters))
        assert done.returncode == 1, done.stderr
        assert f"39 messages of {settings.topics.due} delivered. 1 message refused" in done.stderr
        assert f"--resend {letters}" in done.stderr
        again = run(environment, served.url, secret)
        assert "0 messages" in again.stderr
        refuses = False
        before = len(served.requests)
        sent = run(environment, served.url, secret, "--resend", str(letters))
    assert sent.returncode == 0, sent.stderr
    (request,) = served.requests[before:]
    assert (request.headers["webhook-id"], request.body) == ("c7-0", b'{"due_id":"c7-0"}')
    assert is_authentic(request)


def test_a_command_without_a_topic_or_a_usable_secret_ends_with_the_reason(
    environment: dict[str, str], secret: Path, tmp_path: Path
) -> None:
    done = run(environment, "https://crm.example/hook", secret)
    assert done.returncode == 5
    assert "There is no topic" in done.stderr
    short = tmp_path / "short.txt"
    short.write_text("whsec_c2hvcnQ=")
    done = run(environment, "https://crm.example/hook", short)
    assert done.returncode == 3
    assert "the secret has 5 bytes" in done.stderr
    assert run(environment, "ftp://crm.example/hook", secret).returncode == 2
