"""What a change of the rules or of the catalogue does to the lists of some customers, before it is saved."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from state.domain.recommendation import ModelVersion, Trigger
from state.domain.rules import Merchandising
from state.errors import StoreRefused
from state.events.dates import to_iso
from state.store.protocol import CustomerUpdate, Store
from stream.api.ranking import Inspection, Workbench
from stream.api.services import Services
from stream.pipeline.recommendations import BatchContext, recommend
from stream.pipeline.selector import needs_further, ranking_depth, selector_for
from training.serving.scorer import predict

SAMPLE = 60
"""Number of customers whose lists are compared, in addition to those that are named."""
MAX_NAMED = 20
PORTION = 10
"""Customers of one inspection, so that visits do not wait long."""


class ListChange(NamedTuple):
    """The stock codes of one customer's list before and after."""

    customer_id: str
    before: list[str]
    after: list[str]

    @property
    def removed(self) -> list[str]:
        """Those that leave, in order."""
        return [code for code in self.before if code not in self.after]

    @property
    def added(self) -> list[str]:
        """Those that come, in order."""
        return [code for code in self.after if code not in self.before]


class Preview(NamedTuple):
    """What a change does to the lists of some customers.

    ``changes`` are the lists that become others, those with most new items first. ``removed`` and ``added`` count the
    lists that an item leaves or enters. ``short``: the lists with fewer items than wanted, before and after.
    """

    customers: int
    unknown: list[str]
    changes: list[ListChange]
    removed: Counter[str]
    added: Counter[str]
    short: tuple[int, int]


async def preview(services: Services, after: Merchandising, named: Sequence[str] = ()) -> Preview:
    """Compare the lists as they are now with those that the change would make.

    Args:
        services: Of this process.
        after: The catalogue and the rules after the change.
        named: Ids of further customers, in addition to the sample.
    """
    named = list(dict.fromkeys(named))[:MAX_NAMED]
    sample: list[str] = await services.lookups.ask(lambda shop: sample_customers(shop.store))
    customer_ids = list(dict.fromkeys([*named, *sample]))
    lists: list[ListChange] = []
    for start in range(0, len(customer_ids), PORTION):
        portion = customer_ids[start : start + PORTION]
        lists += await services.ranking.ask(Inspection(partial(compare_lists, customer_ids=portion, after=after)))
    return summarise(lists, services.settings.top_k, [each for each in named if each not in {one[0] for one in lists}])


def summarise(lists: Sequence[ListChange], k: int, unknown: list[str]) -> Preview:
    """The preview of some lists of at most ``k`` items."""
    changes = [each for each in lists if each.before != each.after]
    return Preview(
        customers=len(lists),
        unknown=unknown,
        changes=sorted(changes, key=lambda each: -len(each.added) - len(each.removed)),
        removed=Counter(code for each in changes for code in each.removed),
        added=Counter(code for each in changes for code in each.added),
        short=(sum(len(each.before) < k for each in lists), sum(len(each.after) < k for each in lists)),
    )


def sample_customers(store: Store) -> list[str]:
    """The ids of some customers, those before the first whose history cannot be read.

    Raises:
        StoreRefused: There is none before it.
    """
    found: list[str] = []
    try:
        for history in islice(store.histories(), SAMPLE):
            found.append(history.customer_id)  # noqa: PERF401  # what came before an error stays
    except StoreRefused:
        if not found:
            raise
    return found


def compare_lists(bench: Workbench, customer_ids: Sequence[str], after: Merchandising) -> list[ListChange]:
    """The lists of customers who are known, before and after, of the same ranking."""
    histories = []
    for customer_id in customer_ids:
        try:
            (state,) = bench.store.customers([customer_id])
        except StoreRefused:  # this customer has no list either way
            continue
        if state is not None:
            histories.append(state.history)
    if not histories:
        return []
    k = bench.settings.top_k
    before = bench.merchandising
    depth = max(ranking_depth(k, before), ranking_depth(k, after))
    further = needs_further(before) or needs_further(after)
    predictions = predict(bench.scorer, histories, bench.items, bench.now, depth, further=further)
    demand = bench.items.decayed_demand(bench.now)
    model = ModelVersion(bench.scorer.name, bench.scorer.version)
    lists = []
    for merchandising in (before, after):
        selector = selector_for(merchandising, bench.now, bench.items, demand, bench.clock)
        context = BatchContext(
            bench.now, to_iso(bench.now), bench.items, demand, bench.settings.valid_days, k, selector
        )
        lists.append(
            [
                recommend(CustomerUpdate(history, 0, 0, False, None, []), prediction, model, Trigger(), context)
                for history, prediction in zip(histories, predictions, strict=True)
            ]
        )
    return [
        ListChange(history.customer_id, *([item.stock_code for item in made.items] if made else [] for made in pair))
        for history, *pair in zip(histories, *lists, strict=True)
    ]
