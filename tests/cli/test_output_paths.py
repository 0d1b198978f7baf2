"""A file that a command will write is looked at before the work, not after it."""

from pathlib import Path

import pytest

from stream.cli.exit_codes import ExitCode
from stream.cli.main import main


@pytest.mark.parametrize(
    "command",
    [
        ["demo", "--picture"],
        ["due", "--within", "7d", "--output"],
        ["erase", "12680", "--receipt"],
        ["export", "items", "--output"],
        ["webhook", "--url", "http://localhost:9", "--secret-file", __file__, "--dead-letters"],
    ],
    ids=lambda command: command[0],
)
def test_a_folder_that_is_missing_ends_a_command_before_it_reads_anything(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBASKET_KAFKA_BROKERS", "127.0.0.1:1")
    monkeypatch.setenv("NEXTBASKET_REDIS_URL", "redis://127.0.0.1:1/0")
    assert main([*command, str(tmp_path / "missing" / "file")]) == ExitCode.DATA
    assert "There is no folder" in capsys.readouterr().err
