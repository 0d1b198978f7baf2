"""``nextbasket similar`` where there is nothing to answer with: it says what to do."""

from pathlib import Path

import pytest

from stream.cli import main
from stream.exit_codes import ExitCode


@pytest.mark.parametrize("arguments", [[], ["22613", "--customers", "12680"]])
def test_either_an_item_or_a_customer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["similar", *arguments]) == ExitCode.USAGE
    assert "either a stock code, or --customers" in capsys.readouterr().err


def test_without_a_hybrid_model_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBASKET_REGISTRY", str(tmp_path))
    assert main(["similar", "22613"]) == ExitCode.NEGATIVE
    assert "nextbasket train --model hybrid" in capsys.readouterr().err
