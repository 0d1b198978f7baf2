"""The README's steps on UCI's data, or on a small table like it: no postage is recommended, and mismatches are refused.

train, replay and worker run as commands, with the dialect as the README sets it.
"""

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from state.events.shop_dialect import ShopDialect
from state.settings import Settings
from state.store.redis.store import RedisStore
from tests.integration.topic import read_topic
from tests.integration.workers import Worker, nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from tests.services.process import free_port
from training.data.simulator import simulate
from training.registry import Registry
from training.serving.baselines.scorer import BaselineScorer

LIMIT_S = 120.0
README = Path(__file__).parents[2] / "README.md"
DIALECT = dict(re.findall(r"^export (NEXTBASKET_DIALECT)=(\S+)", README.read_text(), re.MULTILINE))
"""The dialect as the README's steps set it."""
PRODUCT = r"[0-9]{5}"
CLOCK = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.timeout(400)


def uci_table(folder: Path) -> Path:
    """The last weeks of UCI Online Retail where ``NEXTBASKET_DATA`` has it, else a small table with much postage."""
    given = Path(os.environ.get("NEXTBASKET_DATA", ""))
    found = sorted(given.glob("online_retail*.parquet")) if given.is_dir() else []
    if found:
        raw = pd.read_parquet(found[0])
        raw = raw[raw["InvoiceDate"] >= "2011-11-01"]
    else:
        goods = simulate(customers=100, items=120, days=240, seed=5)
        first = goods.drop_duplicates("InvoiceNo")
        extra = {"POST": "POSTAGE", "M": "Manual", "BANK CHARGES": "Bank Charges"}
        fees = [first.assign(StockCode=code, Description=text, Quantity=1) for code, text in extra.items()]
        raw = pd.concat([goods, *fees], ignore_index=True)
    assert (~raw["StockCode"].astype("str").str.match(PRODUCT)).any()
    path = folder / "online_retail.parquet"
    raw.to_parquet(path)
    return path


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(environment | DIALECT, tmp_path / "worker.log")
    yield worker
    worker.end()


def messages(log: Path) -> list[str]:
    return [json.loads(line)["message"] for line in log.read_text().splitlines() if line.startswith("{")]


def refused(variables: dict[str, str], folder: Path) -> str:
    """The sentence with which a worker ends at its start; its exit code is that of a setting."""
    worker = Worker(variables, folder / "refused.log")
    worker.start()
    try:
        wait_until(lambda: worker.ended() is not None, "the worker refuses to start", LIMIT_S)
        assert worker.ended() == 3, worker.log_tail()
    finally:
        worker.end()
    (sentence,) = (line for line in worker.log.read_text().splitlines() if line.startswith("nextbasket: "))
    worker.log.unlink()
    return sentence


def publish(registry: Registry, folder: Path, dialect: ShopDialect | None) -> str:
    """Publish and promote a model that was trained in some dialect; returns its version."""
    folder.mkdir()
    BaselineScorer("count_demand", "unpublished").save(folder)
    day = datetime(2011, 12, 10, tzinfo=UTC)
    version = registry.publish(
        folder, name="count_demand", data_from=day, data_until=day, metrics={}, created=CLOCK, dialect=dialect
    )
    registry.promote(version, at=CLOCK)
    return version


def test_the_steps_of_the_readme_never_recommend_postage(
    environment: dict[str, str], settings: Settings, kafka: Service, worker: Worker, tmp_path: Path
) -> None:
    assert DIALECT == {"NEXTBASKET_DIALECT": "uci"}
    shop, table = environment | DIALECT, str(uci_table(tmp_path))
    printed = nextbasket(shop, "replay", table, "--shape", "invoices")
    assert "How this table was read: dialect uci, zone UTC." in printed
    assert "Rows go as they are, for workers that read them in the dialect uci." in printed
    no_topic = {name: value for name, value in shop.items() if name != "NEXTBASKET_KAFKA_BROKERS"}
    printed = nextbasket(no_topic, "train", "--data", table, "--model", "ease", "--no-refit")
    assert "Training in the dialect uci, zone UTC" in printed

    worker.start()
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    sent = len(read_topic(kafka.address, settings.topics.invoices))
    wait_until(lambda: group.done() == sent, f"all {sent} events are done", LIMIT_S, lambda: assert_alive(worker))
    group.close()
    answers = [json.loads(message.value()) for message in read_topic(kafka.address, settings.topics.recommendations)]
    codes = pd.Series([item["stock_code"] for answer in answers for item in answer["items"]])
    assert len(codes) > 500
    assert codes[~codes.str.match(PRODUCT)].tolist() == []
    shown = json.loads(nextbasket(shop, "show", answers[0]["customer_id"], "--json"))
    assert all(item["stock_code"][:5].isdigit() for item in shown["visit"]["items"])
    assert worker.stop() == 0

    # The same without the dialect: the model is refused, and without a model the histories are.
    sentence = refused(environment, tmp_path)
    assert "was trained in the dialect uci, and this process reads invoices in the dialect plain." in sentence
    assert "Set NEXTBASKET_DIALECT=uci" in sentence
    sentence = refused(environment | {"NEXTBASKET_REGISTRY": str(tmp_path / "empty")}, tmp_path)
    assert "The histories in Redis were written in the dialect uci" in sentence
    assert "Set NEXTBASKET_DIALECT=uci, or give this shop another NEXTBASKET_NAMESPACE, or stop the workers" in sentence
    sentence = refused(shop | {"NEXTBASKET_UNSELLABLE_CODES": "2*"}, tmp_path)
    assert "and this process reads invoices in the dialect uci with the unsellable codes 2*" in sentence


def assert_alive(worker: Worker) -> None:
    assert worker.ended() is None, worker.log_tail()


def test_a_model_of_another_dialect_that_is_promoted_later_is_refused_once(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    port = free_port()
    registry = Registry(settings.registry_url)
    mine = publish(registry, tmp_path / "mine", ShopDialect(name="uci"))
    variables = DIALECT | {"NEXTBASKET_METRICS_PORT": str(port), "NEXTBASKET_REGISTRY_POLL_SECONDS": "0.1"}
    worker = Worker(environment | variables, tmp_path / "worker.log")
    worker.start()
    try:
        serves = f"Model count_demand {mine} serves from the next batch"
        wait_until(
            lambda: serves in messages(worker.log) and "Worker started" in str(messages(worker.log)),
            "the model serves",
            LIMIT_S,
            lambda: assert_alive(worker),
        )
        other = publish(registry, tmp_path / "other", ShopDialect(name="plain"))
        error = (
            f"Model {other} is refused, count_demand {mine} stays in use: Model count_demand {other} was trained in "
            "the dialect plain, and this process reads invoices in the dialect uci. Set NEXTBASKET_DIALECT=plain, or "
            "train and promote a model in the dialect uci."
        )
        wait_until(lambda: error in messages(worker.log), "the other model is refused", LIMIT_S)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            metrics = response.read().decode()
        assert "nextbasket_models_refused_total 1.0" in metrics
        assert f'nextbasket_model_info{{name="count_demand",version="{mine}"}} 1.0' in metrics
        old = publish(registry, tmp_path / "old", None)
        warning = f"Model count_demand {old} does not say in which dialect it was trained"
        wait_until(lambda: warning in str(messages(worker.log)), "the old model is loaded with a warning", LIMIT_S)
        assert messages(worker.log).count(error) == 1
        assert worker.stop() == 0
    finally:
        worker.end()


def test_a_worker_that_refuses_the_model_leaves_the_store_to_others(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    publish(Registry(settings.registry_url), tmp_path / "mine", ShopDialect(name="uci"))
    assert "NEXTBASKET_DIALECT=uci" in refused(environment, tmp_path)
    store = RedisStore(settings)
    assert store.dialect() is None
    store.close()
