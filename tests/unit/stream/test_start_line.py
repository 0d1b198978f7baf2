"""The first line of a worker's log."""

from importlib import metadata
from pathlib import Path

import pytest

from state.settings import load_settings, without_credentials
from stream.worker import describe_start, promoted_model
from tests.unit.registry.bundles import CLOCK, model_files, publish
from training.registry import Registry


def test_the_first_line_has_what_an_operator_asks_first() -> None:
    settings = load_settings(
        {
            "NEXTBASKET_KAFKA_BROKERS": "a:9092, b:9092",
            "NEXTBASKET_REDIS_URL": "rediss://user:secret@cache:6380/0",
            "NEXTBASKET_NAMESPACE": "shop",
            "NEXTBASKET_DIALECT": "uci",
        }
    )
    assert describe_start(settings, "basket_lstm 2026-01-01T00-00-00Z", "9101") == (
        f"nextbasket {metadata.version('nextbasket')} worker: brokers a:9092,b:9092, Redis rediss://cache:6380/0, "
        "group shop.nextbasket-worker, dialect uci, model basket_lstm 2026-01-01T00-00-00Z, metrics port 9101"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost"),
        ("redis://:p@ss/word@host:6379/0", "redis://host:6379/0"),
        ("redis://host:6379/0?password=secret", "redis://host:6379/0"),
        ("redis+sentinel://:secret@h1:26379,h2:26379/shop/0", "redis+sentinel://h1:26379,h2:26379/shop/0"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


def test_the_promoted_model_is_named(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    assert promoted_model(registry) == "none yet"
    version = publish(registry, model_files(tmp_path / "model"))
    registry.promote(version, at=CLOCK)
    assert promoted_model(registry) == f"basket_lstm {version}"
    next((tmp_path / "registry").rglob("manifest.json")).unlink()
    assert promoted_model(registry).startswith("unknown (")
