"""Progress on standard error, with a terminal and without."""

import io
import sys

import pytest

from stream.cli.progress import show_progress
from training import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work() -> None:
    progress.stage("reading")
    progress.stage("fitting")
    progress.update(1, 4, "loss 2.5")
    progress.update(4, 4, "loss 1.5")


def test_without_a_terminal_a_stage_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress():
        work()
    assert capsys.readouterr() == ("", "reading …\nfitting …\n")


def test_on_a_terminal_a_stage_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with show_progress():
        work()
    last = terminal.getvalue().rstrip("\n").rpartition("\r")[2]
    assert last.startswith("fitting: 100%")
    assert "4/4" in last
    assert "loss 1.5" in last
    assert terminal.getvalue().endswith("\n"), "the bar is closed, so that a message begins on a new line"
    shown = len(terminal.getvalue())
    work()
    assert len(terminal.getvalue()) == shown, "nothing is shown after the block"
