"""Applies the catalogue and the rules to the rankings of a batch: what they need of the item table is read once."""

from collections.abc import Callable, Iterator, Sequence, Set
from functools import cached_property
from typing import NamedTuple

import numpy as np

from state.domain.history import CustomerHistory
from state.domain.rules import Merchandising, RulesInForce
from state.domain.selection import DEPTH, Absence, Selection, select, why_not
from training.features.item_table import DecayedDemand, ItemTable
from training.serving.scorer import Candidate

_FIRST = 2_000
"""Items in demand that are ordered first; a list needs hardly ever more."""


def ranking_depth(k: int, merchandising: Merchandising | None) -> int:
    """How many candidates a list of ``k`` items needs."""
    return k if merchandising is None or merchandising.changes_nothing else max(k, DEPTH)


def needs_further(merchandising: Merchandising | None) -> bool:
    """Whether a list needs the model's candidates beyond ``ranking_depth``."""
    return merchandising is not None and merchandising.reads_slot


def selector_for(
    merchandising: Merchandising | None,
    now: int,
    items: ItemTable,
    demand: DecayedDemand,
    clock: int | None = None,
) -> "Selector | None":
    """The selector of a batch; None where every ranking stays as it is, so that nothing is paid for it.

    ``now`` and ``clock`` are those of ``Merchandising.at``.
    """
    if merchandising is None or merchandising.changes_nothing:
        return None
    return Selector(merchandising.at(now, clock), items, demand)


class _InDemand(NamedTuple):
    """Stock codes by falling demand: those that were looked up so far, and the rest."""

    codes: list[str]
    rest: Iterator[str]


class Selector:
    """Makes lists of rankings.

    Args:
        in_force: The catalogue and the rules at the time of the prediction.
        items: The item table as of then.
        demand: That of ``items``.

    An item that is no candidate has the lowest probability of the ranking times its demand, log(1 + d(7)), as a share
    of the greatest; 0 where it was never sold.
    """

    def __init__(self, in_force: RulesInForce, items: ItemTable, demand: DecayedDemand) -> None:
        self.in_force = in_force
        self._items = items
        self._demand = demand
        self._in_demand: dict[int, _InDemand] = {}

    def select(
        self,
        candidates: Sequence[Candidate],
        history: CustomerHistory,
        k: int,
        exclude: Set[str] = frozenset(),
        wanted: Callable[[str], bool] | None = None,
        further: Sequence[Candidate] = (),
    ) -> Selection[Candidate]:
        """The list for a customer; see ``state.domain.selection.select``.

        ``further`` are the candidates after those of the ranking; they are read where a rule looks at the slot.
        """
        candidates = self._ranking(candidates, further, history)
        return select(
            candidates,
            history,
            self.in_force,
            k,
            unranked=self._unranked(candidates),
            in_demand=self._by_demand(history),
            exclude=exclude,
            wanted=wanted,
        )

    def why_not(
        self,
        stock_code: str,
        candidates: Sequence[Candidate],
        history: CustomerHistory,
        k: int,
        exclude: Set[str] = frozenset(),
        further: Sequence[Candidate] = (),
    ) -> Absence:
        """Why an item is not in the list for a customer; see ``state.domain.selection.why_not``."""
        candidates = self._ranking(candidates, further, history)
        return why_not(
            stock_code,
            candidates,
            history,
            self.in_force,
            k,
            unranked=self._unranked(candidates),
            in_demand=self._by_demand(history),
            exclude=exclude,
        )

    def description(self, stock_code: str) -> str | None:
        """The name of an item in the catalogue, else its newest description."""
        item = self.in_force.catalogue.get(stock_code)
        return item.name if item is not None and item.name else self._items.description(stock_code)

    def _ranking(
        self, candidates: Sequence[Candidate], further: Sequence[Candidate], history: CustomerHistory
    ) -> Sequence[Candidate]:
        return [*candidates, *further] if further and self.in_force.plan(history).reads_slot else candidates

    def _unranked(self, candidates: Sequence[Candidate]) -> Callable[[str], Candidate | None]:
        lowest = candidates[-1].probability if candidates else 0.0

        def entry(stock_code: str) -> Candidate | None:
            row = self._items.rows.get(stock_code)
            if row is not None:
                return Candidate(stock_code, lowest * self._share(row))
            return Candidate(stock_code, 0.0) if stock_code in self.in_force.catalogue else None

        return entry

    @cached_property
    def _greatest(self) -> float:
        return float(np.log1p(self._demand.all.max(initial=0.0)))

    def _share(self, row: int) -> float:
        return float(np.log1p(self._demand.of(row))) / self._greatest if self._greatest > 0.0 else 0.0

    def _by_demand(self, history: CustomerHistory) -> Iterator[str]:
        """Stock codes by falling demand that are not excluded; looked up once for all customers with the same plan."""
        plan = self.in_force.plan(history)
        found = self._in_demand.get(id(plan))  # plans live as long as ``in_force``
        if found is None:
            facts, codes = self.in_force.facts, self._items.codes
            allowed = (codes[row] for row in self._rows_by_demand() if not plan.excludes(facts(codes[row])))
            found = self._in_demand[id(plan)] = _InDemand([], allowed)
        position = 0
        while True:
            if position == len(found.codes):
                code = next(found.rest, None)
                if code is None:
                    return
                found.codes.append(code)
            yield found.codes[position]
            position += 1

    def _rows_by_demand(self) -> Iterator[int]:
        """Rows of the item table by falling demand, baskets ever and stock code; all are ordered if asked for."""
        demand = self._demand.all
        first = min(_FIRST, len(demand))
        if first == 0:
            return
        least = np.partition(demand, len(demand) - first)[len(demand) - first]
        above = demand > least
        for rows in (np.flatnonzero(above), np.flatnonzero(~above)):
            codes = np.asarray([self._items.codes[row] for row in rows.tolist()], np.str_)
            yield from rows[np.lexsort((codes, -self._items.sold[rows], -demand[rows]))].tolist()
