"""The command line: what it lists and loads, shell completion, and errors as one sentence."""

import importlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from state.errors import SettingsError, StoreUnavailable
from stream.cli.errors import ERRORS, describe_error
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.main import COMMANDS, main
from stream.errors import BrokerUnavailable


def test_help_lists_every_command_and_imports_none_of_them() -> None:
    code = (
        "import sys, stream.cli.main; stream.cli.main.main(['--help']); "
        "print('MODULES', *(m for m in sys.modules if m.startswith(('stream.commands.', 'training', 'state'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    listing, _, modules = done.stdout.partition("MODULES")
    assert modules.strip() == ""
    for name in COMMANDS:
        assert f" {name} " in listing


SUBCOMMANDS = (
    "models list",
    "models promote",
    "models rollback",
    "rules show",
    "rules check",
    "rules set",
    "items load",
    "items show",
)


@pytest.mark.parametrize("name", [*COMMANDS, *SUBCOMMANDS])
def test_help_of_every_command_has_an_example_and_fits_80_columns(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*name.split(), "--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "Usage: nextbasket" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown, "a word that is too long was cut"
    if not any(each.startswith(f"{name} ") for each in SUBCOMMANDS):
        assert f"nextbasket {name}" in " ".join(shown.partition("Example:")[2].split())


def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """``python -m stream`` in another process."""
    return subprocess.run(
        [sys.executable, "-m", "stream", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_python_m_stream_is_the_command_line() -> None:
    shown = run("--help")
    assert (shown.returncode, shown.stderr) == (ExitCode.OK, "")
    assert "Usage: nextbasket" in shown.stdout
    assert run("trian").returncode == ExitCode.USAGE


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out == f"nextbasket {importlib.metadata.version('nextbasket')}\n"


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("nextbasket tr", ["train"]),
        ("nextbasket models ro", ["rollback"]),
        ("nextbasket train --judge", ["--judge-days"]),
        ("nextbasket evaluate --moment ", ["visit", "emission", "both"]),
        ("nextbasket export re", ["recommendations"]),
    ],
)
def test_shells_complete_commands_options_and_values(words: str, completions: list[str]) -> None:
    """Also of commands that are imported only when they are called."""
    position = str(len(words.split(" ")) - 1)
    done = run(_NEXTBASKET_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=position)
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert done.stdout.split() == completions


def test_completion_is_installed_for_the_shell_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: "bash")
    assert main(["--install-completion"]) == ExitCode.OK
    script = tmp_path / ".bash_completions" / "nextbasket.sh"
    assert str(script) in capsys.readouterr().out.replace("\n", "")
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert "_NEXTBASKET_COMPLETE=complete_bash" in script.read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_nextbasket(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    assert main(["--show-completion"]) == ExitCode.OK
    script = capsys.readouterr().out
    assert f"_NEXTBASKET_COMPLETE=complete_{shell}" in script
    assert "nextbasket" in script


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == ExitCode.USAGE
    assert "Commands" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["trian"], ["--frobnicate"], ["train", "--epochs", "none"], ["evaluate"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "Usage: nextbasket" in error


def test_a_mistyped_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    main(["trian"])
    assert "Did you mean 'train'?" in capsys.readouterr().err


KAFKA_PYTHON_WARNS = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")
"""Its import does, whoever is first to import it."""


@KAFKA_PYTHON_WARNS
@pytest.mark.parametrize("name", ERRORS)
def test_every_listed_error_exists(name: str) -> None:
    module, _, attribute = name.partition(":")
    module = {"cimpl": "confluent_kafka"}.get(module, module)
    error = getattr(importlib.import_module(module), attribute)
    assert issubclass(error, Exception)
    assert f"{error.__module__}:{error.__qualname__}" == name


class StoreUnavailableSubclass(StoreUnavailable):
    pass


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (Failure("No such customer."), ExitCode.NEGATIVE, "No such customer."),
        (Failure("Give a date.", ExitCode.USAGE), ExitCode.USAGE, "Give a date."),
        (SettingsError("NEXTBASKET_X is no setting"), ExitCode.SETTINGS, "NEXTBASKET_X is no setting."),
        (
            StoreUnavailableSubclass("Redis does not answer"),
            ExitCode.UNREACHABLE,
            "Redis does not answer. Is it running, and does NEXTBASKET_REDIS_URL point at it?",
        ),
        (
            BrokerUnavailable("Kafka at k:9092 cannot be used: Connection refused"),
            ExitCode.UNREACHABLE,
            "Kafka at k:9092 cannot be used: Connection refused. "
            "Is it running, and does NEXTBASKET_KAFKA_BROKERS point at it?",
        ),
        (
            FileNotFoundError(2, "No such file or directory", "there.csv"),
            ExitCode.DATA,
            "No such file or directory: there.csv. Check the path and its permissions.",
        ),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "Interrupted."),
        (
            ZeroDivisionError("division\nby zero"),
            ExitCode.INTERNAL,
            "ZeroDivisionError: division by zero. This is a mistake in nextbasket; "
            "NEXTBASKET_LOG_LEVEL=debug shows where.",
        ),
    ],
)
def test_an_error_is_one_sentence_with_advice(error: BaseException, code: ExitCode, sentence: str) -> None:
    assert describe_error(error) == (code, sentence)


@KAFKA_PYTHON_WARNS
def test_errors_of_kafka_and_the_registry_have_their_codes() -> None:
    from kafka.errors import KafkaTimeoutError

    from training.errors import TooLittleData, UnknownModel
    from training.registry import UnknownVersion

    assert describe_error(KafkaTimeoutError("nobody there"))[0] == ExitCode.UNREACHABLE
    assert describe_error(KafkaTimeoutError("nobody there"))[1].startswith("nobody there. Is it running")
    assert describe_error(UnknownVersion("no such version"))[0] == ExitCode.REGISTRY
    assert describe_error(TooLittleData("too little"))[0] == ExitCode.DATA
    assert describe_error(UnknownModel("no such model"))[0] == ExitCode.USAGE


def test_a_failing_command_prints_a_traceback_only_at_log_level_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("NEXTBASKET_DATA", str(tmp_path / "nowhere"))
    monkeypatch.delenv("NEXTBASKET_LOG_LEVEL", raising=False)
    arguments = ["evaluate", "--from", "2011-11-09", "--to", "2011-12-10", "--models", "gp_topfreq"]
    assert main(arguments) == ExitCode.DATA
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("nextbasket: There is nothing at ")
    monkeypatch.setenv("NEXTBASKET_LOG_LEVEL", "debug")
    with pytest.raises(Exception, match="There is nothing at"):
        main(arguments)


def test_the_page_of_commands_lists_every_command_and_exit_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "commands.md").read_text()
    for name in COMMANDS:
        assert f"| `nextbasket {name}" in page
    for code in ExitCode:
        assert f"| {code.value} | {code.name} |" in page
