"""The hybrid model in the worker: a customer and an item never seen in training are served by their attributes."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from state.settings import Settings
from state.store.redis.store import RedisStore
from tests.integration.workers import Worker, nextbasket
from tests.services.choice import Service
from tests.services.group import Group, wait_until
from training.data.log import read_table
from training.models.two_tower.model import Hybrid
from training.registry import Registry

LIMIT_S = 90.0
TRAINED_UNTIL = datetime(2013, 12, 20, tzinfo=UTC)

CATEGORIES = {1: "Clothing", 2: "Footwear"}
SUBCATEGORIES = {1: "Mens", 2: "Women", 3: "Kids"}
STORES = ("e-Shop", "TeleShop", "MBR")
CUSTOMERS = 60

pytestmark = [pytest.mark.durable, pytest.mark.timeout(420)]


def study(folder: Path) -> Path:
    """A retail case study whose women buy for women and whose men buy for men.

    ``Flagship store`` opens after the training, and so do customers 101 and 102.
    """
    folder.mkdir()
    draw = random.Random(5)
    customers = ["customer_Id,DOB,Gender,city_code"]
    known = [*range(1, CUSTOMERS + 1), 101, 102]
    customers += [f"{number},02-11-1970,{'MF'[number % 2]},{number % 3}" for number in known]
    products = ["prod_cat_code,prod_cat,prod_sub_cat_code,prod_subcat"]
    products += [
        f"{code},{name},{sub},{kind}" for code, name in CATEGORIES.items() for sub, kind in SUBCATEGORIES.items()
    ]
    sales = ["transaction_id,cust_id,tran_date,prod_subcat_code,prod_cat_code,Qty,Rate,Tax,total_amt,Store_type"]

    def sell(customer: int, day: date, category: int, subcategory: int, store: str) -> None:
        sales.append(f"{10_000 + len(sales)},{customer},{day:%d-%m-%Y},{subcategory},{category},1,10,1,11,{store}")

    for number in range(600):
        customer = draw.randrange(1, CUSTOMERS + 1)
        kind = 3 if draw.random() < 0.1 else 1 + customer % 2
        sell(customer, date(2013, 1, 1) + timedelta(days=number // 2), draw.choice((1, 2)), kind, draw.choice(STORES))
    for subcategory in (1, 2):
        sell(1 + subcategory, date(2014, 1, 1), 2, subcategory, "Flagship store")
    sell(101, date(2014, 1, 5), 1, 3, "MBR")
    sell(102, date(2014, 1, 5), 1, 3, "MBR")
    for name, lines in {"Customer": customers, "prod_cat_info": products, "Transactions": sales}.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(environment | {"NEXTBASKET_TOP_K": "20"}, tmp_path / "worker.log")
    yield worker
    worker.end()


def test_who_and_what_is_new_is_served_by_attributes(
    environment: dict[str, str], settings: Settings, kafka: Service, worker: Worker, tmp_path: Path
) -> None:
    folder = study(tmp_path / "study")
    log, _ = read_table(folder, settings)
    fitted = Hybrid("hybrid", epochs=6, width=8).fit(log, until=int(TRAINED_UNTIL.timestamp()), seed=1)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    fitted.save(bundle)
    registry = Registry(settings.registry_url)
    version = registry.publish(
        bundle,
        name="hybrid",
        data_from=datetime(2013, 1, 1, tzinfo=UTC),
        data_until=TRAINED_UNTIL,
        metrics={},
        created=TRAINED_UNTIL,
    )
    registry.promote(version, at=TRAINED_UNTIL)

    group = Group(kafka.address, settings.group, settings.topics.invoices)

    def alive() -> None:
        assert worker.ended() is None, worker.log_tail()

    # In two parts: otherwise the new customers, on partitions of their own, might come before the new items.
    nextbasket(environment, "replay", str(folder), "--to", "2014-01-03")
    worker.start()
    wait_until(lambda: group.done() >= 602, "the first 602 events are done", LIMIT_S, alive)
    nextbasket(environment, "replay", str(folder), "--from", "2014-01-03")
    wait_until(lambda: group.done() >= 604, "all 604 events are done", LIMIT_S, alive)
    assert worker.stop() == 0
    group.close()

    store = RedisStore(settings)
    for customer, kind, other in (("101", "Women", "Mens"), ("102", "Mens", "Women")):
        answer = store.recommendation(customer)
        assert answer is not None
        assert (answer.model.name, answer.model.version) == ("hybrid", version)
        items = store.items().states
        ranked = [item.stock_code for item in answer.items]
        kinds = [items[code].attributes["subcategory"] for code in ranked]
        assert kinds[:3].count(kind) >= 2
        assert kinds.index(kind) < kinds.index(other)
        # The items of the store that opened later are known by their attributes alone.
        suits, suits_not = (f"2-{number}-Flagship store" for number in ((2, 1) if kind == "Women" else (1, 2)))
        assert ranked.index(suits) < ranked.index(suits_not)
    store.close()

    like_women = msgspec.json.decode(nextbasket(environment, "similar", "2-2-Flagship store", "--most", "3", "--json"))
    assert sum("Women" in like["description"] for like in like_women) >= 2
    like_her = msgspec.json.decode(nextbasket(environment, "similar", "--customers", "101", "--most", "9", "--json"))
    assert sum(int(like["name"]) % 2 for like in like_her) >= 7
