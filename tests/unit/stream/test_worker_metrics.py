"""Where the worker serves its metrics."""

import socket

import pytest

from state.errors import SettingsError
from state.settings import Settings
from stream.monitoring import Metrics
from stream.worker import _serve_metrics
from tests.services.process import free_port


def test_a_free_port_is_used_where_another_worker_has_the_configured_one(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        _serve_metrics(Settings(metrics_port=port), Metrics())()
    assert f"Port {port} is taken; metrics are on " in caplog.text


def test_an_address_of_another_machine_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="NEXTBASKET_METRICS_HOST or _PORT cannot be used"):
        _serve_metrics(Settings(metrics_port=free_port(), metrics_host="192.0.2.1"), Metrics())
