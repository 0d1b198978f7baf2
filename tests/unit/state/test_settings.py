"""Settings are read from the environment; an invalid one raises an error with a sentence."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from state import Settings, SettingsError, load_settings
from state.settings import REGISTRY_NAMES, similar_settings
from tests.unit.registry.bundles import CLOCK, Keys, model_files, publish
from training.registry import Registry, Signatures


def sentence(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(variables)
    return str(caught.value)


def test_defaults() -> None:
    settings = load_settings({"PATH": "/bin", "NEXTBASKET_TEST_REDIS": "redis://x"})
    assert settings == Settings()
    assert (settings.window, settings.top_k, settings.dialect, settings.data) == (100, 10, "plain", None)


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have other cache folders")
def test_the_cache_is_in_the_folder_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert Settings().cache == Path("/caches/nextbasket")


def test_values_are_converted_and_trimmed_and_empty_ones_ignored() -> None:
    settings = load_settings(
        {
            "NEXTBASKET_WINDOW": " 7 ",
            "NEXTBASKET_DATA": "/data",
            "NEXTBASKET_REGISTRY_POLL_SECONDS": "0.5",
            "NEXTBASKET_LOG_LEVEL": "debug",
            "NEXTBASKET_TOP_K": "",
            "NEXTBASKET_REDIS_PASSWORD": " with spaces ",
        }
    )
    assert (settings.window, settings.data, settings.registry_poll_seconds) == (7, Path("/data"), 0.5)
    assert (settings.log_level, settings.top_k) == ("DEBUG", 10)
    assert settings.redis_password.get_secret_value() == " with spaces "


def test_only_load_settings_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTBASKET_WINDOW", "7")
    assert Settings().window == 100
    assert load_settings().window == 7


def test_an_unknown_variable_is_refused_with_similar_names() -> None:
    assert sentence(NEXTBASKET_WINDOWS="7") == "NEXTBASKET_WINDOWS is not a setting; did you mean NEXTBASKET_WINDOW?"
    assert sentence(NEXTBASKET_XYZZY_FROBNICATE="7").endswith("the settings are listed on docs/reference/settings.md.")


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("WINDOWS", ["WINDOW"]),
        ("LOGLEVEL", ["LOG_LEVEL"]),
        ("TIME_ZONE", ["TIMEZONE"]),
        ("REDIS_URI", ["REDIS_URL"]),
        ("BROKERS", ["KAFKA_BROKERS"]),
        ("REDIS", ["REDIS_URL", "REDIS_PASSWORD"]),
        ("KAFKA", []),  # eleven settings have this word
        ("MODEL", []),
        ("GROUP", []),
        ("REPLAY_TABLE", []),
        ("LOCALE", []),
        ("BATCH_SIZE", []),
        ("RECOMMENDATIONS", []),
    ],
)
def test_only_names_that_may_be_meant_are_suggested(name: str, similar: list[str]) -> None:
    assert similar_settings(f"NEXTBASKET_{name}") == [f"NEXTBASKET_{each}" for each in similar]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WINDOW", "seven"),
        ("WINDOW", "0"),
        ("DIALECT", "french"),
        ("KAFKA_BROKERS", "localhost"),
        ("KAFKA_BROKERS", "localhost:99999"),
        ("KAFKA_API_VERSION", "two"),
        ("REDIS_URL", "http://localhost"),
        ("NAMESPACE", "../up"),
        ("NAMESPACE", "shop:1"),
        ("TIMEZONE", "Mars/Olympus"),
        ("TIMEZONE", "../../etc/passwd"),
        ("METRICS_PORT", "70000"),
        ("LOG_LEVEL", "loud"),
        ("KAFKA_SECURITY_PROTOCOL", "sasl"),
    ],
)
def test_an_invalid_value_is_refused_by_name(name: str, value: str) -> None:
    assert sentence(**{f"NEXTBASKET_{name}": value}).startswith(f"NEXTBASKET_{name} cannot be used: ")


def test_a_namespace_cannot_have_the_name_of_a_folder_of_the_registry(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    registry = Registry(str(tmp_path / "registry"), signatures=Signatures([keys.public], keys.file))
    registry.promote(publish(registry, model_files(tmp_path / "model")), at=CLOCK)
    assert sorted(path.name for path in (tmp_path / "registry").iterdir()) == list(REGISTRY_NAMES)
    for name in (*REGISTRY_NAMES, "Versions"):
        assert "choose another" in sentence(NEXTBASKET_NAMESPACE=name)
    assert load_settings({"NEXTBASKET_NAMESPACE": "versions1"}).namespace == "versions1"


def test_sasl_needs_both_of_its_settings() -> None:
    assert "KAFKA_SASL_MECHANISM" in sentence(NEXTBASKET_KAFKA_SECURITY_PROTOCOL="SASL_SSL")
    assert "KAFKA_SECURITY_PROTOCOL" in sentence(NEXTBASKET_KAFKA_SASL_MECHANISM="plain")


def test_neither_error_nor_repr_contains_a_secret() -> None:
    assert "s3cret" not in sentence(NEXTBASKET_REDIS_PASSWORD="s3cret", NEXTBASKET_WINDOW="s3cret")
    assert "s3cret" not in sentence(NEXTBASKET_REDIS_URL="http://:s3cret@host")
    assert "s3cret" not in repr(Settings(redis_password="s3cret", kafka_sasl_password="s3cret"))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Settings(), "window", 5)  # noqa: B010 - mypy would refuse a plain assignment


def test_names_include_the_namespace() -> None:
    plain, shop = Settings(), Settings(namespace="shop1")
    assert plain.topics.dead_letter == "invoices.dead-letter"
    assert (plain.group, plain.key_prefix, plain.registry_url) == ("nextbasket-worker", "", "registry")
    topics = shop.topics
    assert (topics.invoices, topics.scores) == ("shop1.invoices", "shop1.recommendation-scores")
    assert (topics.dead_letter, topics.recommendations) == ("shop1.invoices.dead-letter", "shop1.recommendations")
    assert (shop.group, shop.key_prefix) == ("shop1.nextbasket-worker", "shop1:")
    assert Settings(namespace="shop1", registry="s3://bucket/models/").registry_url == "s3://bucket/models/shop1"


def test_brokers_are_split() -> None:
    assert Settings(kafka_brokers="a:9092, [::1]:9093").brokers == ["a:9092", "[::1]:9093"]
    assert Settings().brokers == []


def test_the_password_of_a_broker_is_not_in_an_error() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"NEXTBASKET_KAFKA_BROKERS": "kafka://user:s3cret@kafka,user:s3cret@kafka"})
    assert "s3cret" not in str(refused.value)
