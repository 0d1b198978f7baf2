"""The token of OAUTHBEARER: read again, checked, and its end known."""

import asyncio
import base64
import json
from pathlib import Path

import pytest

from state.errors import SettingsError
from state.settings import load_settings
from stream.kafka.config import confluent_config, faust_config, kafka_python_config
from stream.kafka.token_file import OPAQUE_LIFETIME_S, expires_at, read_token


def jwt(**claims: object) -> str:
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims, "")
    )


def variables(path: Path) -> dict[str, str]:
    return {
        "NEXTBASKET_KAFKA_BROKERS": "one:9092",
        "NEXTBASKET_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "NEXTBASKET_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "NEXTBASKET_KAFKA_SASL_TOKEN_FILE": str(path),
    }


def test_every_client_gets_the_token_that_the_file_holds_now(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(jwt(exp=10) + "\n")
    settings = load_settings(variables(file))
    confluent, kafka_python = confluent_config(settings), kafka_python_config(settings)
    faust = faust_config(settings)["broker_credentials"]
    for end in (10, 20):
        file.write_text(f"  {jwt(exp=end)}\n")
        assert confluent["oauth_cb"]("") == (jwt(exp=end), end)
        assert kafka_python["sasl_oauth_token_provider"].token() == jwt(exp=end)
        assert asyncio.run(faust.oauth_cb.token()) == jwt(exp=end)


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "a.é.c", jwt(exp="soon"), jwt(), jwt(exp=None)])
def test_a_token_without_a_readable_end_is_read_again_soon(token: str) -> None:
    assert expires_at(token, 100.0) == 100.0 + OPAQUE_LIFETIME_S


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"a\x01b", b"\xff", b"x" * 70_000])
def test_what_is_no_token_is_refused_without_showing_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="holds no token"):
        read_token(file)
    with pytest.raises(SettingsError, match="NEXTBASKET_KAFKA_SASL_TOKEN_FILE"):
        confluent_config(load_settings(variables(file)))


def test_a_missing_file_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"NEXTBASKET_KAFKA_SASL_TOKEN_FILE is .*cannot be read"):
        faust_config(load_settings(variables(tmp_path / "none")))


def test_mechanism_and_file_need_each_other(tmp_path: Path) -> None:
    for name in ("NEXTBASKET_KAFKA_SASL_TOKEN_FILE", "NEXTBASKET_KAFKA_SASL_MECHANISM"):
        with pytest.raises(SettingsError, match=r"OAUTHBEARER|MECHANISM"):
            load_settings({key: value for key, value in variables(tmp_path).items() if key != name})
