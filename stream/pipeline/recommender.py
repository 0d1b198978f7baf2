"""One model call for many customers, with the newest items, model, catalogue and rules."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import msgspec

from state.domain.history import CustomerHistory
from state.domain.recommendation import Item, Recommendation, Trigger
from state.domain.rules import Merchandising
from state.settings import Settings
from state.store.protocol import CustomerUpdate, DueEntry
from stream.messages import Headers, Message
from stream.monitoring import Metrics
from stream.pipeline.due_index import due_entries
from stream.pipeline.event_headers import RECOMMENDATION, event_headers
from stream.pipeline.item_cache import ItemCache
from stream.pipeline.recommendations import BatchContext, recommend
from stream.pipeline.resilient_scorer import ModelPrediction, ResilientScorer
from stream.pipeline.selector import needs_further, ranking_depth, selector_for

_encode = msgspec.json.Encoder().encode


class Recommender:
    """Recommends for customers of a batch; used by one thread.

    Args:
        settings: The length of a list, and how long it is valid.
        items: The item table; the caller refreshes it.
        scorer: Ranks.
        merchandising: Returns the catalogue and the rules as of now, None where there are none.
        metrics: Counts what the rules did.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        items: ItemCache,
        scorer: ResilientScorer,
        merchandising: Callable[[], Merchandising | None],
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._items = items
        self._scorer = scorer
        self._merchandising = merchandising
        self._metrics = metrics
        self._clock = clock

    def recommend(
        self,
        updates: Sequence[CustomerUpdate],
        triggers: Sequence[Trigger],
        generated_at: str,
        predicting: AbstractContextManager[object] | None = None,
    ) -> list[Recommendation | None]:
        """A recommendation for each customer; None where there is nothing to recommend.

        ``predicting`` is entered for the call of the model.
        """
        table, now = self._items.table, self._items.now
        histories, top_k = [update.history for update in updates], self._settings.top_k
        before = self._merchandising()
        with predicting or nullcontext():
            predictions = self._predict(histories, before)
            # Read after the prediction, which may take seconds: an item may have gone out of stock meanwhile.
            merchandising = self._merchandising()
            needs_more = ranking_depth(top_k, merchandising) > ranking_depth(top_k, before)
            if needs_more or (needs_further(merchandising) and not needs_further(before)):
                predictions = self._predict(histories, merchandising)
        demand = table.decayed_demand(now)
        context = BatchContext(
            now=now,
            generated_at=generated_at,
            items=table,
            demand=demand,
            valid_days=self._settings.valid_days,
            top_k=top_k,
            selector=selector_for(merchandising, now, table, demand, int(self._clock())),
        )
        made = []
        for update, trigger, (prediction, model) in zip(updates, triggers, predictions, strict=True):
            recommendation = recommend(update, prediction, model, trigger, context)
            for action in recommendation.rules.acted if recommendation and recommendation.rules else ():
                self._metrics.rule_items(action.kind, len(action.stock_codes))
            made.append(recommendation)
        return made

    def _predict(
        self, histories: Sequence[CustomerHistory], merchandising: Merchandising | None
    ) -> list[ModelPrediction]:
        """Rankings as deep as the catalogue and the rules need."""
        depth, further = ranking_depth(self._settings.top_k, merchandising), needs_further(merchandising)
        return self._scorer.predict(histories, self._items.table, self._items.now, depth, further=further)

    def due_entries(
        self, histories: Sequence[CustomerHistory], revisions: Sequence[int], items: Sequence[Sequence[Item]]
    ) -> list[DueEntry]:
        """The entries of customers in the index of who is due; ``items`` are those recommended to each."""
        survival, version = self._scorer.return_survival(histories)
        return due_entries(histories, revisions, items, survival, version)


def recommendation_message(one: Recommendation, topic: str, source: str, trace: Headers = ()) -> Message:
    """A recommendation as it is published; ``source`` is ``ce_source``, ``trace`` has the headers of its trigger."""
    headers = event_headers(
        RECOMMENDATION, one.rec_id, source=source, time=one.generated_at, customer_id=one.customer_id
    )
    return Message(topic, one.customer_id.encode(), _encode(one), headers + trace)
