"""``nextbasket api-keys`` makes keys that the API accepts, and ``api`` refuses what it may not serve."""

import stat
from pathlib import Path

import pytest

from state.settings import load_settings
from stream.api.keys import Scope, load_keys
from stream.cli.exit_codes import ExitCode
from stream.cli.main import main


def test_a_new_key_is_printed_and_its_hash_is_appended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys"
    for name, scope in (("shop", "read"), ("tills", "ingest")):
        assert main(["api-keys", "new", name, "--scope", scope, "--file", str(file)]) == ExitCode.OK
    shop, tills = capsys.readouterr().out.split()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert shop not in file.read_text()
    keys = load_keys(load_settings({"NEXTBASKET_API_KEYS_FILE": str(file)}))
    assert keys.names == ["shop", "tills"]
    caller = keys.find(tills)
    assert caller is not None
    assert (caller.name, [*caller.scopes]) == ("tills", [Scope.INGEST])


def test_the_entry_goes_to_standard_error_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api-keys", "new", "shop", "--scope", "read", "--scope", "ingest"]) == ExitCode.OK
    shown = capsys.readouterr()
    entry = shown.err.strip().partition("its file: ")[2]
    keys = load_keys(load_settings({"NEXTBASKET_API_KEYS": entry}))
    assert keys.find(shown.out.strip()) is not None


@pytest.mark.parametrize("arguments", [["shop", "--scope", "reed"], ["a shop", "--scope", "read"]])
def test_a_wrong_scope_or_name_is_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api-keys", "new", *arguments]) == ExitCode.USAGE
    assert "the scopes are read, ingest, merchandise, admin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["--host", "0.0.0.0"], {}, "There is no API key, and 0.0.0.0 can be reached from other machines."),
        (["--port", "1"], {"API_KEYS_FILE": "/nowhere"}, "NEXTBASKET_API_KEYS_FILE cannot be read"),
        ([], {"API_RATE": "fast"}, "NEXTBASKET_API_RATE is 'fast'"),
        ([], {"REDIS_URL": ""}, "No Redis is set"),
        (["--host", "203.0.113.1"], {"API_KEYS": f"a read {'0' * 64}"}, "cannot be served"),
    ],
)
def test_the_api_refuses_to_start_with_a_sentence(
    arguments: list[str],
    variables: dict[str, str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in ({"REDIS_URL": "redis://localhost:1"} | variables).items():
        monkeypatch.setenv(f"NEXTBASKET_{name}", value)
    assert main(["api", *arguments]) == ExitCode.SETTINGS
    assert sentence in capsys.readouterr().err
