"""Decides by the environment whether traces are recorded; without an exporter nothing of OpenTelemetry is imported."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from state.errors import SettingsError
from state.settings import Settings, without_credentials
from stream.pipeline.tracing import Tracing

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def trace_endpoint(environment: Mapping[str, str]) -> str | None:
    """Where traces are sent, None where they are off: no endpoint is set, or another variable switches them off.

    Raises:
        SettingsError: A protocol is set that is not supported.
    """
    endpoint = next((found for name in ENDPOINTS if (found := environment.get(name, "").strip())), None)
    off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if endpoint is None or off or environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None
    for name in PROTOCOLS:
        protocol = environment.get(name, "").strip()
        if protocol not in ("", "http/protobuf"):
            raise SettingsError(f"{name} is {protocol}; only http/protobuf is supported, at port 4318 of a collector.")
        if protocol:
            break
    return endpoint


@contextmanager
def recorded_traces(service: str, settings: Settings) -> Iterator[Tracing]:
    """What begins traces; where they are recorded, the last of them are sent at the end.

    Raises:
        SettingsError: A variable of OpenTelemetry cannot be used.
        ModuleNotFoundError: They are on, and the extra ``otel`` is not installed.
    """
    endpoint = trace_endpoint(os.environ)
    if endpoint is None:
        yield Tracing()
        return
    from stream.telemetry import Telemetry

    telemetry = Telemetry(service, settings)
    logger.info("Traces go to %s", without_credentials(endpoint))
    try:
        yield telemetry
    finally:
        telemetry.close()
