"""Attributes from a replayed table to Redis: the stream and the offline walk have the same ones."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from state.settings import Settings
from state.store.redis.store import RedisStore
from stream.kafka.topic_reader import read_topic
from tests.integration.workers import Worker, nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.log import merge_logs
from training.data.tables.invoice_table import load
from training.data.walk import StateReplay

LIMIT_S = 90.0

CUSTOMERS = [
    "customer_Id,DOB,Gender,city_code",
    *(f"{number},0{number}-11-197{number},{'FM'[number % 2]},{number}" for number in range(1, 8)),
    "8,,F,",
]
PRODUCTS = [
    "prod_cat_code,prod_cat,prod_sub_cat_code,prod_subcat",
    "1,Clothing,4,Mens",
    "5,Books,3,Comics",
    "5,Books,12,Academic",
]
STORES = ("e-Shop", "TeleShop")
SALES = [
    "transaction_id,cust_id,tran_date,prod_subcat_code,prod_cat_code,Qty,Rate,Tax,total_amt,Store_type",
    *(
        f"{1000 + day},{1 + day % 7 if day % 11 else 99},{day:02}-01-2014,{4 if day % 3 else 3},{1 if day % 3 else 5},"
        f"{1 + day % 4},{10 + day},1,1,{STORES[day % 2]}"
        for day in range(1, 28)
    ),
    "1003,4,20-01-2014,3,5,-1,-13,1,1,TeleShop",
    # A customer and an item that do not occur before.
    "2000,8,05-02-2014,12,5,2,30,1,1,e-Shop",
    "2001,1,06-02-2014,4,1,2,30,1,1,e-Shop",
]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    for name, lines in {"Customer": CUSTOMERS, "prod_cat_info": PRODUCTS, "Transactions": SALES}.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(environment, tmp_path / "worker.log")
    yield worker
    worker.end()


def test_the_stream_has_the_attributes_of_the_walk(
    environment: dict[str, str], settings: Settings, kafka: Service, worker: Worker, folder: Path
) -> None:
    group = Group(kafka.address, settings.group, settings.topics.invoices)
    store = RedisStore(settings)

    def alive() -> None:
        assert worker.ended() is None, worker.log_tail()

    nextbasket(environment, "replay", str(folder), "--to", "2014-02-01", "--shape", "lines")
    worker.start()
    wait_until(lambda: group.done() >= 28, "the events of January are done", LIMIT_S, alive)
    assert store.history("8") is None
    assert "5-12-e-Shop" not in store.items().states

    nextbasket(environment, "replay", str(folder), "--from", "2014-02-01", "--shape", "invoices")
    wait_until(lambda: group.done() >= 30, "all events are done", LIMIT_S, alive)
    assert worker.stop() == 0

    log = invoices(clean(load(folder), settings))
    walked = StateReplay(settings.window)
    for invoice in log:
        walked.apply(invoice)
    assert {history.customer_id: history for history in store.histories()} == dict(walked.histories)
    items = store.items().states
    assert {code: state.attributes for code, state in items.items()} == {
        code: walked.items.attributes(code) for code in walked.items.codes
    }
    assert walked.histories["1"].attributes == {"birth_date": "1971-11-01", "city": "1", "gender": "M"}
    assert walked.histories["99"].attributes == {}  # not in Customer.csv

    # A new customer and a new item have their attributes, and the customer gets a recommendation.
    new = store.history("8")
    assert new is not None
    assert new.attributes == {"gender": "F"}
    assert items["5-12-e-Shop"].attributes == {"category": "Books", "store": "e-Shop", "subcategory": "Academic"}
    assert store.recommendation("8") is not None

    exported = [json.loads(line) for line in nextbasket(environment, "export", "customers").splitlines()]
    assert {
        one["customer_id"]: {key: each["value"] for key, each in one["attributes"].items()} for one in exported
    } == {customer: history.attributes for customer, history in walked.histories.items() if history.attributes}
    assert exported[-1] == {
        "customer_id": "8",
        "attributes": {"gender": {"value": "F", "date": "2014-02-05T00:00:00Z"}},
    }
    (line,) = (line for line in nextbasket(environment, "export", "items").splitlines() if "Academic" in line)
    assert json.loads(line)["attributes"]["category"] == {"value": "Books", "date": "2014-02-05T00:00:00Z"}
    assert "Attributes: gender F" in nextbasket(environment, "show", "8")

    # The topic gives the same training log.
    topic = read_topic(settings, clock=2_000_000_000)
    assert list(merge_logs(topic.invoices)) == list(merge_logs(log))
    store.close()
