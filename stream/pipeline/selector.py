"""Applies the catalogue and the rules to the rankings of a batch: what they need of the item table is read once."""

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
        fill_from: Collection[str] | None = None,
    ) -> Selection[Candidate]:
        """The list for a customer; see ``state.domain.selection.select``.

        ``further`` are the candidates after those of the ranking; they are read where a rule looks at the slot. A list
        too short is filled from ``fill_from``, or from all items.
        """
        candidates = self._ranking(candidates, further, history)
        if fill_from is None and wanted is None:
            in_demand = self._by_demand(history)
        else:
            in_demand = self._wanted_by_demand(wanted, fill_from)
        return select(
            candidates,
            history,
            self.in_force,
            k,
            unranked=self.unranked(candidates),
            in_demand=in_demand,
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
            unranked=self.unranked(candidates),
            in_demand=self._by_demand(history),
            exclude=exclude,
        )

    def with_items(self, candidates: list[Candidate], stock_codes: Collection[str]) -> list[Candidate]:
        """The candidates, then those of some items that were sold and are no candidates, by falling demand."""
        ranked = {each.stock_code for each in candidates}
        others = self._wanted_by_demand(None, [code for code in stock_codes if code not in ranked])
        return [*candidates, *filter(None, map(self.unranked(candidates), others))]

    def description(self, stock_code: str) -> str | None:
        """The name of an item in the catalogue, else its newest description."""
        item = self.in_force.catalogue.get(stock_code)
        return item.name if item is not None and item.name else self._items.description(stock_code)

    def _ranking(
        self, candidates: Sequence[Candidate], further: Sequence[Candidate], history: CustomerHistory
    ) -> Sequence[Candidate]:
        return [*candidates, *further] if further and self.in_force.plan(history).reads_slot else candidates

    def unranked(self, candidates: Sequence[Candidate]) -> Callable[[str], Candidate | None]:
        """Makes an entry of the list for an item that is no candidate; None for an item that the shop does not know."""
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

    def _wanted_by_demand(self, wanted: Callable[[str], bool] | None, among: Collection[str] | None) -> Iterator[str]:
        """Those of some stock codes, or of all, that were sold and are wanted, by falling demand."""
        codes, rows = self._items.codes, self._items.rows
        if among is None:
            found = self._rows_by_demand(wanted)
        else:
            some = [rows[code] for code in among if code in rows and (wanted is None or wanted(code))]
            found = iter(self._ordered(np.asarray(some, np.int64)))
        return (codes[row] for row in found)

    def _rows_by_demand(self, wanted: Callable[[str], bool] | None = None) -> Iterator[int]:
        """Rows of the item table, those that are wanted, by falling demand, baskets ever and stock code.

        All are looked at if so many are asked for.
        """
        demand, codes = self._demand.all, self._items.codes
        first = min(_FIRST, len(demand))
        if first == 0:
            return
        least = np.partition(demand, len(demand) - first)[len(demand) - first]
        above = demand > least
        for rows in (np.flatnonzero(above), np.flatnonzero(~above)):
            if wanted is not None:
                rows = rows[np.fromiter((wanted(codes[row]) for row in rows.tolist()), np.bool_, len(rows))]
            yield from self._ordered(rows)

    def _ordered(self, rows: NDArray[np.int64]) -> list[int]:
        """Some rows by falling demand, baskets ever and stock code."""
        codes = np.asarray([self._items.codes[row] for row in rows.tolist()], np.str_)
        ordered: list[int] = rows[np.lexsort((codes, -self._items.sold[rows], -self._demand.of_rows(rows)))].tolist()
        return ordered
