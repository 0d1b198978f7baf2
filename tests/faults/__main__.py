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
from typing import NamedTuple

from tests.conftest import EXAMPLES_VARIABLE
from tests.faults.kinds.fault import Fault
from tests.faults.kinds.index import KINDS
from tests.faults.redis_services import SERVICES
from tests.faults.scenario import run_scenario
from tests.faults.schedule import describe, schedule, selected
from tests.faults.shop import WINDOW, Shop
from tests.integration.storefront import open_storefront
from tests.services.kafka import KafkaServer

INVOICES = 2_000
NIGHT_INVOICES = 20_000
NIGHT_FAULTS = 100
PROPERTIES = ("tests/contract/test_order.py", "tests/contract/test_interleaving.py")
PROPERTIES_S = 300.0
EXAMPLES = """
examples:
  make test-faults                                           every fault once, from a new seed, which is printed
  make test-faults ARGS="--seed 7"                           the same faults again
  make test-faults ARGS="--faults 40 --workers 4"            40 faults on four workers
  make test-faults ARGS="--seed 7 --only redis-hang,worker-kill --faults 10"
  make test-faults ARGS="--redis cluster --invoices 6000"    three times the size, on a Redis Cluster of three nodes
  make test-faults ARGS="--night"                            for a night
  make test-faults ARGS="--properties"                       the property tests of the store for five minutes

A seed decides the invoices, their order and form, which faults come, which of them overlap, when they begin and how
long they last. It does not decide how the processes take turns: what fails once may hold when it is run again.
"""


class Form(NamedTuple):
    """The size of a run."""

    invoices: int
    faults: int
    workers: int


def main() -> None:
    """Run the faults, print them with their seconds, and leave the logs where something does not hold."""
    parser = argparse.ArgumentParser(
        prog="make test-faults",
        description="Faults against a real Kafka and Redis, drawn from a seed. Invoices are sent all the while. After "
        "each step everything in Redis and Kafka is compared with what is computed offline, and what was lost must be "
        "logged and counted.",
        epilog=f"faults:\n{describe(KINDS)}\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, help="what decides everything that is random; a new one unless given")
    parser.add_argument("--redis", choices=sorted(KINDS), default="single", help="the kind of Redis (single)")
    parser.add_argument("--only", default="", metavar="NAMES", help="these faults, separated by commas (all)")
    parser.add_argument(
        "--faults", type=_positive, metavar="N", help="how many, each as often as the others (each once)"
    )
    parser.add_argument("--workers", type=_positive, metavar="N", help="how many share the work (2; 4 with --night)")
    parser.add_argument("--invoices", type=_positive, metavar="N", help=f"how many are sent ({INVOICES:,})")
    parser.add_argument(
        "--night",
        action="store_true",
        help=f"{NIGHT_INVOICES:,} invoices and {NIGHT_FAULTS} faults on four workers, then a Cluster and a Sentinel, "
        "then --properties",
    )
    parser.add_argument(
        "--properties",
        action="store_true",
        help="the property tests that compare the store and the pure functions, on new examples for five minutes",
    )
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    try:
        kinds = selected(KINDS[chosen.redis], chosen.only)
    except ValueError as error:
        parser.error(str(error))
    if chosen.properties:
        run_properties(seed)
        return
    if not chosen.night:
        run(seed, chosen.redis, kinds, Form(chosen.invoices or INVOICES, chosen.faults or 1, chosen.workers or 2))
        return
    workers = chosen.workers or 4
    run(seed, "single", kinds, Form(chosen.invoices or NIGHT_INVOICES, chosen.faults or NIGHT_FAULTS, workers))
    for name in ("cluster", "sentinel"):
        run(seed, name, KINDS[name], Form(INVOICES, 1, 2))
    run_properties(seed)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def run(seed: int, redis_name: str, kinds: Sequence[type[Fault]], form: Form) -> None:
    """Run a schedule against new servers."""
    rng = random.Random(seed)
    steps = schedule(kinds, rng, faults=form.faults)
    faults = sum(len(step.faults) for step in steps)
    print(
        f"seed {seed}, {redis_name}: {form.invoices:,} invoices, {form.workers} workers, {faults} faults in "
        f"{len(steps)} steps",
        flush=True,
    )
    folder = Path(tempfile.mkdtemp(prefix="nextbasket-faults-"))
    storefront = open_storefront(form.invoices, WINDOW - 2, rng)  # the checks add two invoices to some customers
    redis = SERVICES[redis_name](folder)
    with KafkaServer(folder / "kafka", heap_mb=512) as kafka:
        redis.start()
        shop = Shop(kafka, redis, folder / "shop", storefront, "faults", workers=form.workers)
        print(f"Kafka {kafka.brokers}, Redis {redis.url}, logs in {shop.folder}", flush=True)
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
            [sys.executable, "-m", "pytest", "-q", *PROPERTIES, f"--hypothesis-seed={seed}"],
            env=os.environ | {EXAMPLES_VARIABLE: "100"},
            check=True,
        )


if __name__ == "__main__":
    main()
