"""Webhooks against an endpoint that verifies them as a receiver does."""

import base64
import hashlib
import hmac
import threading
from pathlib import Path
from random import Random

import pytest

from stream.errors import EndpointGone, EndpointUnavailable, MessageRefused
from stream.tools import webhook
from stream.tools.webhook import WebhookSender, read_secret, signature
from stream.tools.webhook_letters import append_letter, read_letters, webhook_letter
from tests.services.process import free_port
from tests.unit.stream.endpoint import Request, endpoint

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CLOCK = 1_614_265_330


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(webhook, "MAX_WAIT_S", 0.004)


def sender(
    url: str, stop: threading.Event | None = None, give_up_s: float = 30.0, *, refusable: bool = False
) -> WebhookSender:
    return WebhookSender(
        url,
        read_secret(SECRET),
        give_up_s=give_up_s,
        stop=stop or threading.Event(),
        rng=Random(1),
        refusable=refusable,
        clock=lambda: CLOCK,
    )


def is_authentic(request: Request) -> bool:
    """As the receivers of the specification verify: over the headers and the body as they came."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(request.headers["webhook-signature"], f"v1,{expected}")


def test_the_signature_is_that_of_the_example_of_the_specification() -> None:
    made = signature(read_secret(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", CLOCK, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_can_verify_a_message() -> None:
    with endpoint() as served:
        assert sender(served.url).send("id 1", '{"customer":"ä"}'.encode())
    (request,) = served.requests
    assert (request.path, request.body) == ("/hook", '{"customer":"ä"}'.encode())
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-timestamp"] == str(CLOCK)
    assert is_authentic(request)
    assert not is_authentic(request._replace(body=b"{}"))


@pytest.mark.parametrize("status", [500, 503, 429, 404, 302])
def test_a_message_is_tried_until_it_is_accepted(status: int) -> None:
    def answer(_: Request, number: int) -> tuple[int, dict[str, str]]:
        return (204, {}) if number == 4 else (status, {"Location": "/elsewhere"} if status == 302 else {})

    with endpoint(answer) as served:
        assert sender(served.url).send("1", b"{}")
    assert [request.path for request in served.requests] == ["/hook"] * 4
    assert {request.headers["webhook-id"] for request in served.requests} == {"1"}


def test_a_retry_after_is_waited_for() -> None:
    waits: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    answers = {1: (503, {"Retry-After": "7"}), 2: (503, {"Retry-After": "Thu, 25 Feb 2021 15:02:20 GMT"})}
    with endpoint(lambda _, number: answers.get(number, (200, {}))) as served:
        assert sender(served.url, Stop()).send("1", b"{}")
    assert waits == [7.0, 10.0]


def test_an_endpoint_that_does_not_accept_a_message_in_time_ends_the_delivery() -> None:
    with (
        endpoint(lambda request, number: (500, {})) as served,
        pytest.raises(EndpointUnavailable, match=r"did not accept 1 within 0 s \(HTTP 500\)"),
    ):
        sender(served.url, give_up_s=0.05).send("1", b"{}")
    assert len(served.requests) > 1


def test_an_endpoint_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(EndpointUnavailable, match="Connection refused"):
        sender(f"http://127.0.0.1:{free_port()}/", give_up_s=0.01).send("1", b"{}")


def test_an_endpoint_that_is_gone_is_not_tried_again() -> None:
    with endpoint(lambda request, number: (410, {})) as served, pytest.raises(EndpointGone):
        sender(served.url).send("1", b"{}")
    assert len(served.requests) == 1


def test_a_stop_ends_the_retries() -> None:
    stop = threading.Event()

    def answer(_: Request, number: int) -> tuple[int, dict[str, str]]:
        if number == 2:
            stop.set()
        return 500, {}

    with endpoint(answer) as served:
        assert not sender(served.url, stop).send("1", b"{}")
    assert len(served.requests) == 2


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_MfKQ9r8G", "not base64 at all!", "A" * 100])
def test_a_secret_that_cannot_be_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="the secret") as refused:
        read_secret(text)
    assert "MfKQ9r8G" not in str(refused.value)


def test_a_secret_is_read_with_and_without_its_prefix() -> None:
    assert read_secret(f"{SECRET}\n") == read_secret(SECRET.removeprefix("whsec_"))


def test_a_message_that_the_endpoint_refuses_three_times_in_a_row_is_refused() -> None:
    answers = [422, 503, 400, 422, 413, 200]
    with endpoint(lambda _, number: (answers[number - 1], {})) as served:
        with pytest.raises(MessageRefused, match=r"refuses 1 \(HTTP 413"):
            sender(served.url, refusable=True).send("1", b"{}")
        assert len(served.requests) == 5
        assert sender(served.url, refusable=True).send("2", b"{}")


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_an_answer_about_the_endpoint_refuses_no_message(status: int) -> None:
    with endpoint(lambda _, number: (status if number < 6 else 200, {})) as served:
        assert sender(served.url, refusable=True).send("1", b"{}")


def test_a_refused_message_is_tried_on_where_there_is_no_file_for_it() -> None:
    with endpoint(lambda _, number: (422 if number < 6 else 200, {})) as served:
        assert sender(served.url).send("1", b"{}")


def test_a_letter_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "refused.jsonl"
    bodies = ['{"customer":"ä"}'.encode(), b"\xff\x00 no text", b""]
    for number, body in enumerate(bodies):
        append_letter(path, webhook_letter(f"id {number}", f"due-0-{number}", "HTTP 422", "2011-12-09T12:00:00Z", body))
    letters = list(read_letters(path))
    assert [letter.content for letter in letters] == bodies
    assert [letter.id for letter in letters] == ["id 0", "id 1", "id 2"]
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(ValueError, match=r"line 4 of .* is no refused message"):
        list(read_letters(path))
