"""Cost of the catalogue and the rules, in microseconds of processor time a customer.

    python -m bench.selection

A made-up catalogue of 100,000 items in 300 categories with 50 brands, one item in ten out of stock; rankings of 100
items, most of them of the customer's favourite categories; histories of ten invoices with twenty lines. ``one`` is a
customer alone, as at a visit; ``batch`` is one of 256, as at the emission. Takes about 20 seconds.
"""

import argparse
import random
import time

import msgspec
import psutil

from state.domain.catalogue import Catalogue
from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.domain.items import ItemState
from state.domain.rules import CompiledRules, Merchandising
from state.events.catalogue import CatalogueDecoder, CatalogueItem, encode_item
from state.events.dates import DAY
from state.events.rules import (
    Boost,
    Cap,
    Cooldown,
    Exclude,
    ItemFilter,
    LeastProbability,
    Pin,
    Promote,
    Rule,
    Rules,
    Variety,
)
from state.settings import Settings
from stream.pipeline.selector import Selector
from training.features.item_table import ItemTable
from training.serving.scorer import Candidate

ITEMS = 100_000
CATEGORIES = 300
CUSTOMERS = 256
K = 10
NOW = 400 * DAY
REPEATS = 5


class Customer(msgspec.Struct):
    """A history and a ranking."""

    history: CustomerHistory
    candidates: list[Candidate]


def catalogue(generator: random.Random) -> Catalogue:
    """A tenth is out of stock."""
    return Catalogue(
        {
            str(number): CatalogueItem(
                str(number),
                f"Item {number}",
                (f"Department {number % 20}", f"Category {number % CATEGORIES}"),
                1.0 + number % 30,
                float(generator.randrange(10)),
                attributes={"brand": f"Brand {number // 7 % 50}"},
            )
            for number in range(ITEMS)
        }
    )


def customers(generator: random.Random) -> list[Customer]:
    """Customers who buy in three categories."""
    made = []
    for number in range(CUSTOMERS):
        favourites = [generator.randrange(CATEGORIES) for _ in range(3)]
        mine = [str(f + CATEGORIES * generator.randrange(ITEMS // CATEGORIES)) for f in favourites for _ in range(60)]
        invoices = tuple(
            HeldInvoice(
                str(each), each * 40 * DAY, tuple(HeldLine(generator.choice(mine), 1_000, 1.0) for _ in range(20))
            )
            for each in range(10)
        )
        ranked = dict.fromkeys(
            [
                generator.choice(mine) if generator.random() < 0.8 else str(generator.randrange(ITEMS))
                for _ in range(150)
            ]
        )
        candidates = [Candidate(code, 0.5 / (rank + 2)) for rank, code in enumerate(list(ranked)[:100])]
        made.append(Customer(CustomerHistory(str(number), invoices), candidates))
    return made


def every_kind(generator: random.Random) -> tuple[Rule, ...]:
    """50 rules: 30 exclusions, 11 boosts, and others."""
    by_category = [ItemFilter(categories=(f"Department {n} > Category {n}",)) for n in range(15)]
    by_brand = [ItemFilter(attributes={"brand": (f"Brand {n}",)}) for n in range(5)]
    by_code = [ItemFilter(stock_codes=tuple(str(generator.randrange(ITEMS)) for _ in range(50))) for _ in range(10)]
    excluded = [
        Exclude(name=f"exclude {n}", items=items) for n, items in enumerate([*by_category, *by_brand, *by_code])
    ]
    boosts = [
        Boost(name=f"boost {n}", factor=1.2, items=ItemFilter(categories=(f"Department {n}",))) for n in range(11)
    ]
    return (
        *excluded,
        *boosts,
        Cooldown(name="cooldown", days=14),
        Cooldown(name="due", until_due=True, items=ItemFilter(categories=("Department 1", "Department 2"))),
        LeastProbability(name="least", probability=0.002),
        Cap(name="cap", most=4),
        Cap(name="brand", most=3, attribute="brand"),
        Variety(name="variety", least=3),
        Promote(
            name="promote", share=0.2, items=ItemFilter(attributes={"brand": ("Brand 20", "Brand 21", "Brand 22")})
        ),
        Pin(name="pin", stock_codes=("77",), position=3),
        Pin(name="pin for some", stock_codes=("78",), position=1),
    )


def microseconds(merchandising: Merchandising, served: list[Customer], items: ItemTable, batch: int) -> float:
    """The least of several runs, a customer."""
    demand = items.decayed_demand(NOW)
    runs = []
    for _ in range(REPEATS):
        began = time.process_time()
        for start in range(0, len(served), batch):
            selector = Selector(merchandising.at(NOW), items, demand)
            for each in served[start : start + batch]:
                selector.select(each.candidates, each.history, K)
        runs.append((time.process_time() - began) / len(served) * 1e6)
    return min(runs)


def print_reading(written: Catalogue) -> None:
    """What a worker's start costs: the events of the whole catalogue, as they come from the topic."""
    events = [(code.encode(), encode_item(item)) for code, item in written.items()]
    decoder = CatalogueDecoder(Settings())
    process = psutil.Process()
    memory, began = process.memory_info().rss, time.process_time()
    found = Catalogue().with_changes({key.decode(): decoder.decode(event, key) for key, event in events})
    seconds = time.process_time() - began
    print(f"{len(found):,} items read in {seconds:.1f} s, {(process.memory_info().rss - memory) / 2**20:.0f} MB")


def main() -> None:
    """Print a row for each set of rules."""
    generator = random.Random(7)
    print_reading(catalogue(generator))
    known, served = catalogue(generator), customers(generator)
    zero = (0.0,) * 6
    table = ItemTable(
        ItemState(str(n), NOW, (*zero[:2], generator.random() * 50, *zero[:3]), 9, 0, NOW, 1.0, NOW, None)
        for n in range(ITEMS)
    )
    rules = every_kind(generator)
    print(f"{'µs a customer':48}{'one':>8}{'batch':>8}")
    for name, given in {
        "no catalogue, no rules": None,
        f"{ITEMS:,} items, no rules": (),
        f"{ITEMS:,} items, 30 rules that exclude": rules[:30],
        f"{ITEMS:,} items, {len(rules)} rules of every kind": rules,
    }.items():
        if given is None:
            print(f"{name:48}{0:8}{0:8}  (not called)")
            continue
        merchandising = Merchandising(known, CompiledRules(Rules(version=1, rules=given)))
        row = [microseconds(merchandising, served, table, batch) for batch in (1, CUSTOMERS)]
        print(f"{name:48}" + "".join(f"{each:8.0f}" for each in row))
    began = time.process_time()
    for number in range(20):
        known = known.with_changes({str(number): None})
    print(f"\na change of the catalogue: {(time.process_time() - began) / 20 * 1e3:.1f} ms, in the follower's thread")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
