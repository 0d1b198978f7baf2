"""Every kind of fault once, on a real Kafka and Redis; a Cluster and a Sentinel go through a shorter form.

``make test-faults`` runs the same with other seeds, longer, and one fault alone.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.contract.cluster import missing
from tests.faults.kinds.fault import Fault
from tests.faults.kinds.index import KINDS
from tests.faults.kinds.redis import NodeEmptied, PrimaryHung, RedisKilled, SentinelFailsOver
from tests.faults.kinds.workers import WorkerKilled, WorkerStopped
from tests.faults.redis_services import ClusterRedis, RedisService, SentinelRedis, SingleRedis
from tests.faults.scenario import run_scenario
from tests.faults.schedule import schedule
from tests.faults.shop import WINDOW, Shop
from tests.integration.storefront import open_storefront
from tests.services.kafka import KafkaServer

SEED = 7

pytestmark = [pytest.mark.durable, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaServer]:
    with KafkaServer() as server:
        yield server


def run(
    kafka: KafkaServer, redis: RedisService, folder: Path, kinds: Sequence[type[Fault]], invoices: int, name: str
) -> None:
    rng = random.Random(SEED)
    steps = schedule(kinds, rng)
    print(f"seed {SEED}, {len(steps)} steps")  # noqa: T201 - pytest shows it with a failure
    redis.start()
    shop = Shop(kafka, redis, folder, open_storefront(invoices, WINDOW - 2, rng), name)
    try:
        run_scenario(shop, steps, rng, print)
    except BaseException:
        for worker in shop.workers:
            print(worker.log, worker.log_tail(), sep=":\n")  # noqa: T201
        raise
    finally:
        shop.end()
        redis.stop()


def test_every_fault_is_logged_and_changes_no_result(kafka: KafkaServer, tmp_path: Path) -> None:
    run(kafka, SingleRedis(tmp_path), tmp_path / "shop", KINDS["single"], 700, "single")


def test_a_cluster_that_loses_a_node_or_its_data_gives_the_same_results(kafka: KafkaServer, tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    run(
        kafka,
        ClusterRedis(tmp_path),
        tmp_path / "shop",
        [RedisKilled, WorkerKilled, NodeEmptied],
        300,
        "cluster",
    )


def test_a_failover_by_a_sentinel_gives_the_same_results(kafka: KafkaServer, tmp_path: Path) -> None:
    run(
        kafka,
        SentinelRedis(tmp_path),
        tmp_path / "shop",
        [SentinelFailsOver, PrimaryHung, WorkerStopped],
        200,
        "sentinel",
    )
