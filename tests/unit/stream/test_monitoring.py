import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from state.settings import load_settings
from stream.cli.logging_setup import RepeatFilter, configure_logging
from stream.monitoring import Metrics


@pytest.fixture
def root_logger() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_stages_are_timed_even_where_they_fail() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError), metrics.stage("apply"):
        raise KeyError
    assert metrics.registry.get_sample_value("nextbasket_stage_seconds_count", {"stage": "apply"}) == 1


def test_two_workers_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.batch(3)
    assert other.registry.get_sample_value("nextbasket_events_total") == 0


@pytest.mark.usefixtures("root_logger")
def test_logs_are_json_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(load_settings({"NEXTBASKET_LOG_LEVEL": "info"}))
    logging.getLogger("stream.x").info("%d events", 3)
    logging.getLogger("stream.x").debug("not this")
    logging.getLogger("aiokafka").info("nor this")
    line = json.loads(stream.getvalue())
    assert line["message"] == "3 events"
    assert line["level"] == "INFO"
    assert line["logger"] == "stream.x"
    assert line["time"][:2] == "20"


@pytest.mark.usefixtures("root_logger")
def test_logs_are_plain_lines_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(load_settings({"NEXTBASKET_LOG_FORMAT": "console"}))
    logging.getLogger("stream.x").warning("look")
    assert stream.getvalue().endswith("WARNING look\n")


def record(name: str, message: str, created: float) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "", 0, message, ("x",), None)
    made.created = created
    return made


def test_a_chatty_client_is_heard_once_in_a_while_and_everybody_else_always() -> None:
    said = RepeatFilter(quiet_s=30)
    assert said.filter(record("aiokafka.consumer", "cannot connect to %s", 100))
    assert not said.filter(record("aiokafka.consumer", "cannot connect to %s", 110))
    assert said.filter(record("aiokafka.consumer", "something else %s", 110))
    assert said.filter(record("aiokafka.consumer", "cannot connect to %s", 131))
    assert said.filter(record("stream.pipeline.processor", "cannot connect to %s", 131))
    assert said.filter(record("stream.pipeline.processor", "cannot connect to %s", 131))
