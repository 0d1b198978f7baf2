"""Where the worker serves its metrics and its health, and what the answers are."""

import socket
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from state.errors import SettingsError
from stream.health import Health, Heartbeat, health_application, serve_health
from stream.monitoring import Metrics
from tests.services.process import free_port
from tests.unit.stream.clock import FakeClock


def get(health: Health, path: str, registry: CollectorRegistry | None = None) -> tuple[str, str]:
    statuses: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path}

    def start_response(status: str, headers: list[Any]) -> None:
        statuses.append(status[:3])

    body = b"".join(health_application(registry or CollectorRegistry(), health)(environ, start_response))
    return statuses[0], body.decode()


def fail() -> str | None:
    raise ValueError("no answer")


def test_a_worker_is_ready_while_nothing_is_missing() -> None:
    health = Health()
    missing: list[str] = ["not joined"]
    health.add("Kafka", lambda: missing[0] if missing else None)
    health.add("Redis", lambda: None)
    assert get(health, "/readyz") == ("503", "Kafka: not joined\n")
    missing.clear()
    assert get(health, "/readyz") == ("200", "ok\n")


def test_a_check_that_fails_is_missing_and_the_worker_lives() -> None:
    health = Health()
    health.add("Redis", fail)
    assert get(health, "/readyz") == ("503", "Redis: no answer\n")
    assert get(health, "/livez") == ("200", "ok\n")


def test_a_process_whose_loop_stands_still_is_neither_alive_nor_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("stream.health.time", clock)
    health = Health()
    heartbeat = Heartbeat(10.0)
    health.add_liveness("event loop", heartbeat.problem)
    assert get(health, "/livez") == ("200", "ok\n")  # it has not begun
    heartbeat.beat()
    assert get(health, "/livez") == ("200", "ok\n")
    clock.sleep(11.0)
    for path in ("/livez", "/readyz"):
        assert get(health, path) == ("503", "event loop: no sign of life for 11 s\n")
    heartbeat.beat()
    assert get(health, "/livez") == ("200", "ok\n")


def test_a_check_of_the_same_name_replaces_the_one_before() -> None:
    health = Health()
    health.add("Kafka", fail)
    health.add("Kafka", lambda: None)
    assert get(health, "/readyz")[0] == "200"


def test_metrics_have_their_path_and_any_other_is_not_found() -> None:
    metrics = Metrics()
    status, text = get(Health(), "/metrics", metrics.registry)
    assert status == "200"
    assert "nextbasket_events_total" in text
    for path in ("", "/", "/metrics/", "/favicon.ico", "/healthz"):
        assert get(Health(), path, metrics.registry)[0] == "404"


def test_a_free_port_is_used_where_another_worker_has_the_configured_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = serve_health("127.0.0.1", port, CollectorRegistry(), Health())
        server.close()
    assert server.port != port
    assert server.describe(port) == f"{server.port} ({port} is taken)"
    assert server.describe(server.port) == str(server.port)


def test_an_address_of_another_machine_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="NEXTBASKET_METRICS_HOST or _PORT cannot be used"):
        serve_health("192.0.2.1", free_port(), CollectorRegistry(), Health())


def test_an_address_of_ip_6_can_be_used() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    serve_health("::1", free_port(), CollectorRegistry(), Health()).close()
