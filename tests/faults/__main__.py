"""Faults against a real Kafka and Redis, drawn from a seed: ``make test-faults ARGS="--help"``."""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import EXAMPLES_VARIABLE
from tests.faults.faults import KINDS, Fault
from tests.faults.redis_services import SERVICES
from tests.faults.scenario import run_scenario
from tests.faults.schedule import schedule, selected
from tests.faults.shop import WINDOW, Shop
from tests.integration.storefront import open_storefront
from tests.services.kafka import KafkaServer

NIGHT_INVOICES = 20_000
NIGHT_ROUNDS = 5
PROPERTIES = "tests/contract/test_order.py"
PROPERTIES_S = 300.0


def main() -> None:
    """Run the faults, print them with their seconds, and leave the logs where something does not hold."""
    parser = argparse.ArgumentParser(
        prog="make test-faults", description="Faults against a real Kafka and Redis, drawn from a seed."
    )
    parser.add_argument("--seed", type=int, help="what decides everything that is random; a new one unless given")
    parser.add_argument("--redis", choices=sorted(KINDS), default="single", help="the kind of Redis (single)")
    parser.add_argument(
        "--only", default="", help=f"separated by commas: {', '.join(kind.name for kind in KINDS['single'])}"
    )
    parser.add_argument("--invoices", type=int, default=2_000, help="how many are sent (2,000)")
    parser.add_argument("--rounds", type=int, default=1, help="how often each fault comes (once)")
    parser.add_argument(
        "--night",
        action="store_true",
        help=f"{NIGHT_INVOICES:,} invoices under each fault {NIGHT_ROUNDS} times, then a Cluster and a Sentinel, then "
        "five minutes of property tests of the store",
    )
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    try:
        kinds = selected(KINDS[chosen.redis], chosen.only)
    except ValueError as error:
        parser.error(str(error))
    if not chosen.night:
        run(seed, chosen.redis, kinds, chosen.invoices, chosen.rounds)
        return
    run(seed, "single", kinds, NIGHT_INVOICES, NIGHT_ROUNDS)
    for name in ("cluster", "sentinel"):
        run(seed, name, KINDS[name], 2_000, 1)
    run_properties(seed)


def run(seed: int, redis_name: str, kinds: Sequence[type[Fault]], invoices: int, rounds: int) -> None:
    """Run a schedule against new servers."""
    rng = random.Random(seed)
    steps = schedule(kinds, rng, rounds=rounds)
    print(f"seed {seed}, {redis_name}: {invoices:,} invoices, {len(steps)} steps", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="nextbasket-faults-"))
    storefront = open_storefront(invoices, WINDOW, rng)
    redis = SERVICES[redis_name](folder)
    with KafkaServer(folder / "kafka", heap_mb=512) as kafka:
        redis.start()
        shop = Shop(kafka, redis, folder / "shop", storefront, "faults")
        try:
            run_scenario(shop, steps, rng, lambda line: print(line, flush=True))
        except BaseException:
            print(f"seed {seed}, {redis_name}: failed; the logs are in {folder}", file=sys.stderr, flush=True)
            raise
        finally:
            shop.end()
            redis.stop()
    shutil.rmtree(folder)
    print(f"seed {seed}, {redis_name}: everything holds", flush=True)


def run_properties(seed: int) -> None:
    """Compare the pure functions and the store, side by side, on new examples until the time is over."""
    end = time.monotonic() + PROPERTIES_S
    while time.monotonic() < end:
        seed += 1
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", PROPERTIES, f"--hypothesis-seed={seed}"],
            env=os.environ | {EXAMPLES_VARIABLE: "200"},
            check=True,
        )


if __name__ == "__main__":
    main()
