"""Ranks for visits: all waiting queries with one read of Redis and one call of the model."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from state.domain.catalogue import Catalogue
from state.domain.history import CustomerHistory
from state.domain.recommendation import ModelVersion, Recommendation, Trigger
from state.domain.rules import Merchandising
from state.domain.selection import DEPTH
from state.errors import StoreRefused
from state.events.catalogue import category_path
from state.events.dates import DAY, LAST, to_iso
from state.settings import Settings
from state.store.protocol import CustomerState, CustomerUpdate, Store
from stream.api.cart import rank_for_cart
from stream.api.etags import Versions
from stream.api.segments import NO_SEGMENTS, SegmentDemand, rank_for_segments
from stream.api.visits import CartUse, Fallback, VisitQuery, VisitRecommendation, visit_id, visit_links
from stream.monitoring import Metrics
from stream.pipeline.item_cache import ItemCache
from stream.pipeline.recommendations import REPLENISH, BatchContext, recommend
from stream.pipeline.resilient_scorer import ResilientScorer
from stream.pipeline.selector import Selector, needs_further, ranking_depth, selector_for
from training.features.item_table import ItemTable
from training.serving.scorer import Candidate, FurtherCandidates, ItemToItem, Prediction, Scorer

logger = logging.getLogger(__name__)

CATEGORY = "category"
"""The attribute of an item that ``category`` selects by, where the catalogue does not have its category."""


DEPTH_BY_DEMAND = 200
"""Length of the ranking of a filtered list for who bought nothing: well below ``item_table.LEADERS``, so that no
answer walks the items."""


class RankedVisit(NamedTuple):
    """An answer, and what it was made from, for its entity tag."""

    recommendation: VisitRecommendation
    versions: Versions


class Workbench(NamedTuple):
    """What an inspection works with: the same as a ranking."""

    store: Store
    items: ItemTable
    now: int
    clock: int
    scorer: Scorer
    merchandising: Merchandising | None
    settings: Settings


class Inspection(NamedTuple):
    """A question of the page about lists. Answered in the thread that ranks, which has the item table."""

    answer: Callable[[Workbench], Any]


class _Job(NamedTuple):
    """A query with the history to rank for, and the depth of its ranking.

    ``is_filled``: the ranking has all candidates of the model, and what a filter needs beyond them is found by demand.
    Otherwise the depth leaves enough after filtering.
    """

    query: VisitQuery
    history: CustomerHistory
    revision: int
    fallback: Fallback | None
    depth: int
    is_filled: bool


class Ranker:
    """Answers batches of queries, one batch after the other, in one thread.

    Args:
        settings: How long a recommendation is valid.
        open_store: Opens the store; called again after an error, until it succeeds.
        scorer: Returns the scorer that serves now; called once a batch.
        fallback: Predicts for customers that the scorer fails for.
        metrics: Counters and timings.
        merchandising: Returns the catalogue and the rules as of now, None where there are none.
        segments: Returns what sells to customers with an attribute, for visitors without a history.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        open_store: Callable[[], Store],
        scorer: Callable[[], Scorer],
        fallback: Scorer,
        metrics: Metrics,
        merchandising: Callable[[], Merchandising | None] = lambda: None,
        segments: Callable[[], SegmentDemand] = lambda: NO_SEGMENTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._open_store = open_store
        self._current = scorer
        self._scorer = ResilientScorer(scorer, fallback, metrics)
        self._merchandising = merchandising
        self._segments = segments
        self._clock = clock
        self._store: Store | None = None
        self._items: ItemCache | None = None

    def versions(self) -> Versions:
        """What a list would be made from now."""
        age = int(self._clock() / self._settings.api_max_age_seconds)
        merchandising = self._merchandising()
        return Versions(self._current().version, merchandising.version if merchandising else "", age)

    def answer(self, queries: Sequence[VisitQuery | Inspection]) -> list[Any]:
        """One answer, or the error of the customer's data, for each query or inspection.

        Raises:
            StoreUnavailable: Redis does not answer.
            StoreRefused: The items cannot be read.
        """
        versions = self.versions()
        store, items = self._opened()
        items.refresh()
        customer_ids = {each.customer_id for each in queries if isinstance(each, VisitQuery) and each.customer_id}
        states = self._states(store, list(customer_ids))
        answers: list[Any] = [LookupError("not answered")] * len(queries)
        groups: dict[tuple[int, bool, int], list[int]] = {}
        jobs: dict[int, _Job] = {}
        for index, query in enumerate(queries):
            if isinstance(query, Inspection):
                answers[index] = self._inspect(query, store, items)
                continue
            state = None if query.customer_id is None else states[query.customer_id]
            if isinstance(state, Exception):
                answers[index] = state
                continue
            now = items.now if query.at is None else query.at
            jobs[index] = job = _job(query, state, items.table, self._current())
            depth = job.depth if job.is_filled else job.depth > self._settings.top_k
            groups.setdefault((now, job.is_filled, depth), []).append(index)
        for (now, _, _), indices in groups.items():
            group = [jobs[index] for index in indices]
            for index, recommendation in zip(indices, self._rank(group, items.table, now), strict=True):
                answers[index] = RankedVisit(recommendation, versions)
        return answers

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _opened(self) -> tuple[Store, ItemCache]:
        if self._store is None or self._items is None:
            self._store = self._open_store()
            self._items = ItemCache(self._store)
        return self._store, self._items

    def _states(self, store: Store, customer_ids: list[str]) -> dict[str, CustomerState | Exception | None]:
        """The customers; where the data of one cannot be read, its error in its place.

        A merged customer has the state of the one that has the purchases.
        """
        if not customer_ids:
            return {}
        try:
            states = dict(zip(customer_ids, store.customers(customer_ids), strict=True))
            if absent := [customer_id for customer_id, state in states.items() if state is None]:
                current = store.current_ids(absent)
                merged = [(old, new) for old, new in zip(absent, current, strict=True) if old != new]
                if merged:
                    found = store.customers([new for _, new in merged])
                    states |= {old: state for (old, _), state in zip(merged, found, strict=True)}
            return dict(states)
        except StoreRefused as error:
            if len(customer_ids) == 1:
                return {customer_ids[0]: error}
        return {customer_id: self._states(store, [customer_id])[customer_id] for customer_id in customer_ids}

    def _inspect(self, inspection: Inspection, store: Store, items: ItemCache) -> Any:
        try:
            return inspection.answer(
                Workbench(
                    store,
                    items.table,
                    items.now,
                    int(self._clock()),
                    self._current(),
                    self._merchandising(),
                    self._settings,
                )
            )
        except Exception as error:  # of one inspection; the visits are answered all the same
            return error

    def _rank(self, jobs: Sequence[_Job], items: ItemTable, now: int) -> list[VisitRecommendation]:
        merchandising = self._merchandising()
        is_filled = jobs[0].is_filled
        depth = max(ranking_depth(job.depth, merchandising) for job in jobs)
        further = is_filled or needs_further(merchandising)
        predictions = self._scorer.predict([job.history for job in jobs], items, now, depth, further=further)
        demand = items.decayed_demand(now)
        generated_at = to_iso(int(self._clock()))
        recommendations = []
        scorer, segments = self._current(), self._segments()
        clock = int(self._clock()) if jobs[0].query.at is None else None
        selector = selector_for(merchandising, now, items, demand, clock)
        filler = selector or Selector((merchandising or Merchandising()).at(now, clock), items, demand)
        applied = filler if is_filled else selector
        for job, (prediction, model) in zip(jobs, predictions, strict=True):
            query = job.query
            context = BatchContext(now, generated_at, items, demand, self._settings.valid_days, query.limit, applied)
            together = _bought_together(query.cart, scorer)
            candidates = prediction.candidates
            if is_filled:
                raised = {code for scores in together.values() for code in scores}
                candidates = filler.with_items([*candidates, *prediction.further], raised)
            ranking: Sequence[Candidate] = candidates
            if query.attributes and job.fallback is not None:
                ranking = rank_for_segments(ranking, query.attributes, segments)
            if query.cart:
                ranking = rank_for_cart(ranking, together)
            ranked = Prediction(list(ranking), prediction.return_curve, [] if is_filled else prediction.further)
            update = CustomerUpdate(job.history, job.revision, 0, False, None, [])
            exclude = frozenset((*query.exclude, *query.cart))
            wanted = _wanted(job, items, merchandising)
            made = recommend(update, ranked, model, Trigger(), context, exclude, wanted, _fill_from(job))
            if made is not None and ranking is not candidates:
                made = _with_probabilities(made, candidates, filler)
            if made is not None and selector is None:  # only the request acted
                made = msgspec.structs.replace(made, rules=None) if made.items else None
            cart = _cart_use(together) if query.cart else None
            recommendations.append(_recommendation(job, made, model, cart, context))
        return recommendations


def _job(query: VisitQuery, state: CustomerState | None, items: ItemTable, scorer: Scorer) -> _Job:
    if state is None:
        fallback: Fallback | None = "anonymous" if query.customer_id is None else "unknown_customer"
        # A model that reads attributes ranks by them, and rules for a customer segment hold.
        attributes = {key: (0, value) for key, value in query.attributes.items()}
        history, revision = CustomerHistory(query.customer_id or "", dated_attributes=attributes), 0
    else:
        history, revision = state.history, state.revision
        query = msgspec.structs.replace(query, customer_id=history.customer_id)  # another one where it was merged
        fallback = None if history.purchase_dates else "no_purchases"
    in_segments = fallback is not None and bool(query.attributes)
    filtered = query.slot is not None or query.category is not None or bool(query.cart) or in_segments
    if not filtered:
        return _Job(query, history, revision, fallback, query.limit + len(query.exclude), is_filled=False)
    if isinstance(scorer, FurtherCandidates) and not in_segments:
        depth = DEPTH if history.invoices else DEPTH_BY_DEMAND
        return _Job(query, history, revision, fallback, depth, is_filled=True)
    # A model that ranks all items, and lifts in a segment, may put any item first.
    depth = max(1, len(items)) + sum(len(each.lines) for each in history.invoices) + len(query.exclude)
    return _Job(query, history, revision, fallback, depth, is_filled=False)


def _bought_together(cart: Sequence[str], scorer: Scorer) -> dict[str, dict[str, float]]:
    """For each stock code of a cart the item-to-item scores of other items; none where the model has no such scores."""
    return {code: scorer.bought_together([code]) if isinstance(scorer, ItemToItem) else {} for code in cart}


def _with_probabilities(made: Recommendation, candidates: Sequence[Candidate], filler: Selector) -> Recommendation:
    """A recommendation with the probabilities of the model, where the order came from others."""
    known = {each.stock_code: each for each in candidates}
    unranked = filler.unranked(candidates)
    items = []
    for item in made.items:
        candidate = known.get(item.stock_code) or unranked(item.stock_code)
        probability = item.probability if candidate is None else round(float(candidate.probability), 6)
        items.append(msgspec.structs.replace(item, probability=probability))
    return msgspec.structs.replace(made, items=items)


def _recommendation(
    job: _Job, made: Recommendation | None, model: ModelVersion, cart: CartUse | None, context: BatchContext
) -> VisitRecommendation:
    query = job.query
    return VisitRecommendation(
        rec_id=visit_id(query, job.revision, model.version, context.now),
        customer_id=query.customer_id,
        revision=job.revision,
        fallback=job.fallback,
        at=to_iso(context.now),
        generated_at=context.generated_at,
        valid_until=to_iso(min(LAST, context.now + context.valid_days * DAY)),
        model=model,
        next_purchase=made.next_purchase if made and job.fallback is None else None,
        items=made.items if made else [],
        cart=cart,
        rules=made.rules if made else None,
        links=visit_links(query),
    )


def _cart_use(together: dict[str, dict[str, float]]) -> CartUse:
    return CartUse(
        known=[code for code, scores in together.items() if scores],
        unknown=[code for code, scores in together.items() if not scores],
    )


def _bought(history: CustomerHistory) -> set[str]:
    return {line.stock_code for each in history.invoices for line in each.lines if line.quantity > 0}


def _fill_from(job: _Job) -> set[str] | None:
    """The only stock codes that a list can be filled from; None where these are all."""
    return _bought(job.history) if job.query.slot == REPLENISH else None


def _wanted(job: _Job, items: ItemTable, merchandising: Merchandising | None) -> Callable[[str], bool] | None:
    """Whether the query wants a stock code; None where it wants all."""
    slot, category = job.query.slot, job.query.category
    if slot is None and category is None:
        return None
    bought = _bought(job.history)
    path = category_path(category)
    catalogue = merchandising.catalogue if merchandising else Catalogue()

    def wanted(stock_code: str) -> bool:
        if slot is not None and (slot == REPLENISH) != (stock_code in bought):
            return False
        if category is None:
            return True
        item = catalogue.get(stock_code)
        if item is not None and item.category:
            return bool(item.category[: len(path)] == path)
        return items.attributes(stock_code).get(CATEGORY) == category

    return wanted
