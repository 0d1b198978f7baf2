import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator

import pytest

from state.settings import load_settings
from stream.cli.logging_setup import MAX_MESSAGES, RepeatFilter, configure_logging
from tests.root_logger import restored_root_logger


@pytest.fixture
def root_logger() -> Iterator[None]:
    with restored_root_logger():
        yield


@pytest.mark.usefixtures("root_logger")
def test_logs_are_json_lines_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_logs_are_plain_lines_in_the_console_format(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(load_settings({"NEXTBASKET_LOG_FORMAT": "console"}))
    logging.getLogger("stream.x").warning("look")
    assert stream.getvalue().endswith("WARNING look\n")


@pytest.mark.usefixtures("root_logger")
def test_on_a_terminal_logs_are_plain_lines_unless_json_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    for variables in ({}, {"NEXTBASKET_LOG_FORMAT": "json"}):
        configure_logging(load_settings(variables))
        logging.getLogger("stream.x").warning("look")
    plain, as_json = stream.getvalue().splitlines()
    assert plain.endswith("WARNING look")
    assert json.loads(as_json)["message"] == "look"


@pytest.mark.usefixtures("root_logger")
def test_warnings_of_python_are_logged_and_repeated_messages_of_clients_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(load_settings({}))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    for _ in range(2):
        logging.getLogger("aiokafka.conn").error("cannot connect")
    messages = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert "DeprecationWarning: old" in messages[0]
    assert messages[1:] == ["cannot connect"]


@pytest.mark.usefixtures("root_logger")
def test_commands_that_print_results_log_only_at_a_level_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(load_settings({}), only_if_level_set=True)
    logging.getLogger("stream.x").error("not this")
    configure_logging(load_settings({"NEXTBASKET_LOG_LEVEL": "error"}), only_if_level_set=True)
    logging.getLogger("stream.x").error("this")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["this"]


@pytest.mark.usefixtures("root_logger")
def test_libraries_log_warnings_and_services_of_faust_errors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(load_settings({"NEXTBASKET_LOG_LEVEL": "info"}))
    for name in ("faust.x", "kafka.net.selector", "mode.timers", "stream.x"):
        for level in (logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger(name).log(level, "")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("faust.x", "WARNING"),
        ("faust.x", "ERROR"),
        ("kafka.net.selector", "ERROR"),
        ("mode.timers", "ERROR"),
        ("stream.x", "INFO"),
        ("stream.x", "WARNING"),
        ("stream.x", "ERROR"),
    ]


def record(name: str, message: str, created: float) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "", 0, message, ("x",), None)
    made.created = created
    return made


def test_a_repeated_message_of_a_kafka_client_is_logged_once_an_interval() -> None:
    repeats = RepeatFilter(interval_s=30)
    assert repeats.filter(record("aiokafka.consumer", "cannot connect to %s", 100))
    assert not repeats.filter(record("aiokafka.consumer", "cannot connect to %s", 110))
    assert repeats.filter(record("aiokafka.consumer", "something else %s", 110))
    assert not repeats.filter(record("aiokafka.consumer", "cannot connect to %s", 129))
    assert repeats.filter(record("aiokafka.consumer", "cannot connect to %s", 131))
    assert repeats.filter(record("stream.pipeline.processor", "cannot connect to %s", 131))
    assert repeats.filter(record("stream.pipeline.processor", "cannot connect to %s", 131))


def test_messages_that_change_every_time_do_not_fill_the_memory() -> None:
    repeats = RepeatFilter()
    for number in range(2 * MAX_MESSAGES):
        assert repeats.filter(record("kafka", f"cannot connect, attempt {number}", 100))
    assert len(repeats._last_logged) <= MAX_MESSAGES
