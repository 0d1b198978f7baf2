"""Without the packages of an extra a command ends at once, with one sentence that names the extra."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream.cli.errors import describe_error
from stream.cli.exit_codes import ExitCode


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("train", "tensorflow", "train"),
        ("train", "pyarrow.parquet", "train"),
        ("evaluate", "sklearn.decomposition", "train"),
        ("evaluate", "matplotlib", "report"),
        ("eda", "sklearn.cluster", "report"),
        ("demo", "tensorflow", "demo"),
        ("api", "fastapi", "api"),
        ("api", "uvicorn", "api"),
        ("replay", "pyarrow", "parquet"),
        ("", "lightgbm", "lightgbm"),
    ],
)
def test_the_sentence_names_the_extra_of_the_command(command: str, package: str, extra: str) -> None:
    code, sentence = describe_error(ModuleNotFoundError(f"No module named {package!r}", name=package), command)
    assert code == ExitCode.SETTINGS
    assert f"pip install 'nextbasket[{extra}]'" in sentence
    assert package.partition(".")[0] in sentence


def test_a_package_of_no_extra_is_named() -> None:
    code, sentence = describe_error(ModuleNotFoundError("No module named 'nowhere'", name="nowhere"), "train")
    assert code == ExitCode.SETTINGS
    assert sentence.startswith("No module named 'nowhere'.")


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["train", "--data", "{table}"], "tensorflow", "train"),
        (["evaluate", "--data", "{table}", "--from", "2011-06-01", "--to", "2011-07-01"], "scipy", "train"),
        (["eda", "--data", "{table}"], "matplotlib", "report"),
        (["demo"], "tensorflow", "demo"),
        (["api"], "fastapi", "api"),
        (["replay", "{table}"], "pyarrow", "parquet"),
    ],
)
def test_a_command_without_its_extra_says_what_to_install(
    table: Path, arguments: list[str], package: str, extra: str
) -> None:
    given = [word.format(table=table) for word in arguments]
    code = f"import sys; sys.modules[{package!r}] = None; from stream.cli.main import main; sys.exit(main({given!r}))"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    assert ended.returncode == ExitCode.SETTINGS, ended.stderr
    assert ended.stderr.strip().splitlines() == [
        f"nextbasket: {arguments[0]} needs {package}, which is not installed: "
        f"pip install 'nextbasket[{extra}]' brings it."
    ]
