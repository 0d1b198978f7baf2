"""One dialect for one shop: what commands print, record and refuse."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from state.events.shop_dialect import ShopDialect
from state.settings import Settings
from state.store.memory import MemoryStore
from stream.cli.exit_codes import ExitCode
from stream.cli.main import main
from tests.unit.registry.bundles import CLOCK, DATA_FROM, DATA_UNTIL
from training.data.simulator import simulate
from training.registry import Registry
from training.serving.baselines.scorer import BaselineScorer

TRAIN = ("train", "--model", "count_demand", "--data")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in UCI's columns in which every invoice has postage; one is a cancellation."""
    goods = simulate(customers=100, items=120, days=240, seed=5)
    goods = goods[goods["StockCode"].str.match("[0-9]{5}")]
    postage = goods.drop_duplicates("InvoiceNo").assign(StockCode="POST", Description="POSTAGE", Quantity=1)
    path = tmp_path_factory.mktemp("data") / "shop.parquet"
    pd.concat([goods, postage], ignore_index=True).to_parquet(path)
    return path


def registry_of(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path / "registry"))


def dialects_of_bundles(tmp_path: Path) -> set[ShopDialect | None]:
    return {manifest.dialect for manifest in registry_of(tmp_path).versions()}


def known_items(tmp_path: Path) -> set[str]:
    """The stock codes that the published models know, with those of the models as they were evaluated."""
    files = list((tmp_path / "registry").rglob("vocabulary.json"))
    assert files
    return {code for file in files for code in json.loads(file.read_bytes())["stock_codes"]}


@pytest.mark.parametrize("explicit", [False, True])
def test_a_bundle_of_ucis_table_records_its_dialect(
    explicit: bool, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if explicit:
        monkeypatch.setenv("NEXTBASKET_DIALECT", "uci")
    assert main([*TRAIN, str(shop)]) in (ExitCode.OK, ExitCode.NEGATIVE)
    printed = capsys.readouterr().out
    assert "Training in the dialect uci, zone UTC; a worker must read invoices in the same dialect." in printed
    assert ("NEXTBASKET_DIALECT is not set, so the dialect is uci" in printed) is not explicit
    assert dialects_of_bundles(tmp_path) == {ShopDialect(name="uci")}
    (manifest, *_) = (tmp_path / "registry" / "versions").rglob("manifest.json")
    assert json.loads(manifest.read_bytes())["dialect"] == {
        "name": "uci",
        "unsellable_codes": [],
        "timezone": "UTC",
    }


def test_a_dialect_that_is_not_the_tables_is_a_sentence(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBASKET_DIALECT", "plain")
    assert main([*TRAIN, str(shop)]) in (ExitCode.OK, ExitCode.NEGATIVE)
    printed = capsys.readouterr().out
    assert "the table is UCI Online Retail's but NEXTBASKET_DIALECT is plain" in printed
    assert "Training in the dialect plain" in printed
    assert dialects_of_bundles(tmp_path) == {ShopDialect(name="plain")}


def test_ucis_dialect_on_another_shops_table_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("user_id,date,item,order_id\n7,2021-03-14,mug-12345,1\n7,2021-03-15,22613,2\n")
    monkeypatch.setenv("NEXTBASKET_DIALECT", "uci")
    assert main(["export", "histories", "--data", str(path)]) == ExitCode.OK
    shown = capsys.readouterr()
    assert (
        "NEXTBASKET_DIALECT is uci but neither columns nor rows show that the table is UCI Online Retail's" in shown.err
    )
    assert "mug" not in shown.out


def test_codes_that_cannot_be_sold_are_left_out_of_a_table_counted_and_recorded(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBASKET_DIALECT", "plain")
    monkeypatch.setenv("NEXTBASKET_UNSELLABLE_CODES", "post*, FEE")
    assert main(["train", "--model", "ease", "--data", str(shop)]) in (
        ExitCode.OK,
        ExitCode.NEGATIVE,
    )
    printed = capsys.readouterr().out
    assert "Training in the dialect plain with the unsellable codes FEE,post*, zone UTC" in printed
    assert dialects_of_bundles(tmp_path) == {ShopDialect(name="plain", unsellable_codes=("FEE", "post*"))}
    assert "POST" not in known_items(tmp_path)
    (ledger, *_) = (tmp_path / "registry").rglob("ledger.json")
    (step,) = (step for step in json.loads(ledger.read_bytes())["steps"] if step["name"] == "not_a_product")
    assert step["rule"] == "stock code is a product's (dialect plain, without FEE, post*)"
    assert step["rows_in"] - step["rows_out"] > 100


def test_without_the_setting_postage_is_known_to_the_model(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault that the setting is for: the test above can fail."""
    monkeypatch.setenv("NEXTBASKET_DIALECT", "plain")
    assert main(["train", "--model", "ease", "--data", str(shop)]) in (ExitCode.OK, ExitCode.NEGATIVE)
    assert "POST" in known_items(tmp_path)


def test_a_champion_of_another_dialect_is_not_compared_and_stays(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBASKET_DIALECT", "plain")
    assert main([*TRAIN, str(shop)]) == ExitCode.OK
    champion = registry_of(tmp_path).current()
    capsys.readouterr()
    monkeypatch.setenv("NEXTBASKET_DIALECT", "uci")
    assert main([*TRAIN, str(shop)]) == ExitCode.NEGATIVE
    printed = " ".join(capsys.readouterr().out.split())
    assert "It is not promoted, because the champion was trained in another dialect" in printed
    assert registry_of(tmp_path).current() == champion
    assert f"The champion {champion} cannot be evaluated and is not compared: Model" in printed
    assert "was trained in the dialect plain, and this process reads invoices in the dialect uci." in printed


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store of the commands."""
    store = MemoryStore(Settings())
    monkeypatch.setattr("state.store.redis.store.RedisStore", lambda settings: store)
    return store


def publish(tmp_path: Path, **more: Any) -> str:
    """Publish and promote a model; returns its version."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    BaselineScorer("count_demand", "unpublished").save(folder)
    registry = registry_of(tmp_path)
    version = registry.publish(
        folder,
        name="count_demand",
        data_from=DATA_FROM,
        data_until=DATA_UNTIL,
        metrics={},
        created=CLOCK,
        **more,
    )
    registry.promote(version, at=CLOCK)
    return version


@pytest.mark.parametrize(
    "command", [["show", "12680"], ["similar", "22613", "--version", "{}"]], ids=["show", "similar"]
)
def test_a_command_refuses_a_model_of_another_dialect(
    command: list[str], store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = publish(tmp_path, dialect=ShopDialect(name="uci"))
    assert main([word.format(version) for word in command]) == ExitCode.SETTINGS
    assert capsys.readouterr().err == (
        f"nextbasket: Model count_demand {version} was trained in the dialect uci, and this process reads invoices in "
        "the dialect plain. Set NEXTBASKET_DIALECT=uci, or train and promote a model in the dialect plain.\n"
    )


def test_show_refuses_histories_of_another_dialect(store: MemoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.record_dialect(ShopDialect(name="uci"))
    assert main(["show", "12680"]) == ExitCode.SETTINGS
    error = capsys.readouterr().err
    assert "The histories in Redis were written in the dialect uci" in error
    assert "Set NEXTBASKET_DIALECT=uci, or give this shop another NEXTBASKET_NAMESPACE" in error


def test_export_prints_the_dialect_in_which_the_state_was_written(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "histories"]) == ExitCode.OK
    assert capsys.readouterr().err == "The state has no record of the dialect in which it was written.\n"
    store.record_dialect(ShopDialect(name="uci"))
    assert main(["export", "histories"]) == ExitCode.OK
    assert capsys.readouterr().err == "The state was written in the dialect uci, zone UTC.\n"
    monkeypatch.setenv("NEXTBASKET_DIALECT", "plain")
    assert main(["export", "histories"]) == ExitCode.OK
    assert "and this process reads invoices in the dialect plain" in capsys.readouterr().err
