"""The selection: from a ranking to the list that a customer gets, under the catalogue and the rules. One pure function.

In order of precedence:

1. Forbidden items never leave: what the request excludes, what the catalogue forbids (``unavailable``), and the rules
   ``exclude``, ``only``, ``cooldown`` and ``least_probability``.
2. Pinned items are at their positions.
3. Caps hold for all other items; pinned items count in them.
4. The rest of the list is in the order of probability times boost, equal ones in the order of the ranking. At the end
   of the list positions are reserved for variety and promoted items, as long as there are such items.

A list too short is filled from what is allowed: the remaining candidates, then the items in demand. Probabilities never
change.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import chain, islice, pairwise
from statistics import median
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from state.domain.history import CustomerHistory
from state.domain.list_limits import ListLimits
from state.domain.recommendation import RuleAction
from state.domain.rules import REQUEST, Cause, HardRule, RulesInForce, kind_of
from state.events.dates import DAY
from state.events.rules import Cooldown, Exclude, LeastProbability, Only

DEPTH = 100
"""Length of the ranking that a selection needs, so that a list can be filled where items are removed. Where a rule has
a slot it also needs the model's further candidates: the first 100 may hold no item that the customer never bought."""
SEARCH = 1_000
"""Greatest number of items in demand that are tried to fill a list; excluded ones do not count."""


class Ranked(Protocol):
    """A candidate of a ranking."""

    @property
    def stock_code(self) -> str:
        """The stock code."""
        ...

    @property
    def probability(self) -> float:
        """The probability that it is in the next basket."""
        ...


R = TypeVar("R", bound=Ranked)


class Selection(NamedTuple, Generic[R]):
    """The list, and what acted on it.

    ``acted``: only what made this list another one: an item that would not have been in it anyway is not named, nor one
    that would only have filled it.
    """

    items: list[R]
    acted: tuple[RuleAction, ...]


class Absence(msgspec.Struct, frozen=True):
    """Why an item is, or is not, in a list.

    ``verdict``: ``listed`` (``rank`` is its position), ``forbidden``, ``capped``, ``made_room`` (for variety or
    promoted items), ``below`` (``rank`` in the ranking, after boosts), ``no_candidate``, or ``unknown`` to the shop.
    ``causes``: the rules.
    """

    verdict: Literal["listed", "forbidden", "capped", "made_room", "below", "no_candidate", "unknown"]
    rank: int | None = None
    probability: float | None = None
    causes: tuple[Cause, ...] = ()


def select(
    candidates: Sequence[R],
    history: CustomerHistory,
    in_force: RulesInForce,
    k: int,
    *,
    unranked: Callable[[str], R | None],
    in_demand: Iterable[str] = (),
    exclude: Set[str] = frozenset(),
    wanted: Callable[[str], bool] | None = None,
) -> Selection[R]:
    """The list of at most ``k`` items for one customer.

    Args:
        candidates: The ranking, best first, as deep as ``DEPTH`` where there are so many; with the model's further
            candidates where the customer's plan reads the slot.
        history: History of the customer; an empty one for a visitor who is not known.
        in_force: The catalogue and the rules at the time of the prediction.
        k: Greatest length of the list.
        unranked: Makes an entry of the list for an item that is no candidate, with its probability; None for an item
            that the shop does not know.
        in_demand: Stock codes by falling demand, for a list that is too short; read only as far as needed, and at
            most ``SEARCH`` of those that are not excluded.
        exclude: Stock codes that this request does not want.
        wanted: Whether the request wants a stock code, where it asks for some only; such as those of a category.
    """
    return _Choice(candidates, history, in_force, k, unranked, in_demand, exclude, wanted).selection()


def why_not(
    stock_code: str,
    candidates: Sequence[R],
    history: CustomerHistory,
    in_force: RulesInForce,
    k: int,
    *,
    unranked: Callable[[str], R | None],
    in_demand: Iterable[str] = (),
    exclude: Set[str] = frozenset(),
    wanted: Callable[[str], bool] | None = None,
) -> Absence:
    """Why an item is, or is not, in the list that ``select`` makes of the same arguments."""
    return _Choice(candidates, history, in_force, k, unranked, in_demand, exclude, wanted).absence(stock_code)


class _Choice(Generic[R]):
    """One run of the selection for one customer."""

    def __init__(
        self,
        candidates: Sequence[R],
        history: CustomerHistory,
        in_force: RulesInForce,
        k: int,
        unranked: Callable[[str], R | None],
        in_demand: Iterable[str],
        exclude: Set[str],
        wanted: Callable[[str], bool] | None,
    ) -> None:
        self._candidates = candidates
        self._history = history
        self._in_force = in_force
        self._k = k
        self._unranked = unranked
        self._in_demand = in_demand
        self._exclude = exclude
        self._wanted = wanted
        self._purchases: dict[str, list[int]] | None = None
        self._plan = in_force.plan(history)
        self._limits = ListLimits(in_force, self._plan, k, lambda code: code in self._bought)
        self._acted: dict[Cause, dict[str, None]] = {}
        self._capped: dict[str, Cause] = {}
        self._reserved: list[tuple[Cause, str]] = []
        self._made_room: set[str] = set()

    def selection(self) -> Selection[R]:
        ranking = self._ranking()
        pinned = self._pinned({one.stock_code: one for one in self._candidates}) if self._plan.pins else {}
        chosen = self._chosen(ranking, {one.stock_code for one in pinned.values()}, self._k - len(pinned))
        items = chosen
        for position in sorted(pinned):
            items.insert(min(position - 1, len(items)), pinned[position])
        self._name_boosted(items)
        acted = tuple(RuleAction(cause.rule, cause.kind, tuple(codes)) for cause, codes in self._acted.items())
        return Selection(items, acted)

    def absence(self, stock_code: str) -> Absence:
        listed = [one.stock_code for one in self.selection().items]
        ranking = [one.stock_code for one in self._ranking()]
        candidate = next((one for one in self._candidates if one.stock_code == stock_code), None)
        rank = ranking.index(stock_code) + 1 if candidate else None
        one = candidate or self._unranked(stock_code)
        if one is None:
            return Absence("unknown")
        if stock_code in listed:
            return Absence("listed", listed.index(stock_code) + 1, one.probability)
        if causes := tuple(self._causes(one)):
            return Absence("forbidden", rank, one.probability, causes)
        if (cap := self._capped.get(stock_code)) is not None:
            return Absence("capped", rank, one.probability, (cap,))
        causes = tuple(dict.fromkeys(cause for cause, _ in self._reserved))
        if causes and stock_code in self._made_room:
            return Absence("made_room", rank, one.probability, causes)
        return Absence("below" if candidate else "no_candidate", rank, one.probability)

    def _ranking(self) -> list[R]:
        """The candidates by falling probability times boost; equal ones in the order of the ranking."""
        if not self._plan.boosts:
            return list(self._candidates)
        boost, facts = self._plan.boost, self._in_force.facts
        return sorted(self._candidates, key=lambda one: -one.probability * boost(one.stock_code, facts(one.stock_code)))

    def _name_boosted(self, items: Sequence[R]) -> None:
        for index, rule in self._plan.boosts:
            for one in items:
                if index in self._in_force.facts(one.stock_code).matching:
                    self._note(Cause("boost", rule.name), one.stock_code)

    def _pinned(self, candidates: dict[str, R]) -> dict[int, R]:
        """Position to pinned item; of two at one position the later one takes the next that is free."""
        pinned: dict[int, R] = {}
        taken: set[str] = set()
        for rule in self._plan.pins:
            position = rule.position
            for code in rule.stock_codes:
                one = candidates.get(code) or self._unranked(code)
                if code in taken or one is None:
                    continue
                if (cause := self._first_cause(one)) is not None:
                    self._note(cause, code)
                    continue
                while position in pinned:
                    position += 1
                if position > self._k:
                    break
                pinned[position] = one
                taken.add(code)
                self._limits.count(code)
                self._note(Cause("pin", rule.name), code)
        return pinned

    def _chosen(self, ranking: Sequence[R], taken: set[str], room: int) -> list[R]:
        """The items at the positions that are not pinned, in order."""
        chosen: list[tuple[int, R]] = []
        waiting: list[tuple[int, R]] = []
        limits = self._limits
        for order, one in enumerate(self._supply(ranking)):
            if len(chosen) == room:
                break
            code = one.stock_code
            if code in taken:
                continue
            taken.add(code)
            if not limits.fits(code, room - len(chosen)):
                waiting.append((order, one))
            elif self._is_allowed(one, ranked=order < len(ranking)):
                added = limits.count(code)
                if waiting:
                    self._reserved += [(cause, code) for cause in added]
                chosen.append((order, one))
        for order, one in waiting:
            if len(chosen) == room:
                self._made_room.add(one.stock_code)
            elif self._is_allowed(one, ranked=order < len(ranking)):
                limits.count(one.stock_code)
                chosen.append((order, one))
        if self._made_room:
            for cause, code in self._reserved:
                self._note(cause, code)
        chosen.sort(key=lambda each: each[0])
        return [one for _, one in chosen]

    def _is_allowed(self, one: R, *, ranked: bool) -> bool:
        """Whether neither a rule nor a cap removes an item from the list; notes what removes a ranked one."""
        code = one.stock_code
        if (cause := self._first_cause(one)) is None and (cap := self._limits.full_cap(code)) is not None:
            cause = self._capped[code] = Cause("cap", cap.name)
        if cause is not None and ranked:
            self._note(cause, code)
        return cause is None

    def _supply(self, ranking: Sequence[R]) -> Iterator[R]:
        """The ranking, then the items in demand, then those that a promotion names, wherever they are sold.

        Where only what the customer bought may be recommended, the items in demand are replaced by that.
        """
        yield from ranking
        others = sorted(self._bought, key=self._last_bought) if self._plan.only_replenish else self._in_demand
        facts, excludes = self._in_force.facts, self._plan.excludes
        allowed = (code for code in others if not excludes(facts(code)))
        for code in chain(islice(allowed, SEARCH), self._limits.promoted):
            if (one := self._unranked(code)) is not None:
                yield one

    def _last_bought(self, stock_code: str) -> tuple[int, str]:
        """Sorts stock codes by their last purchase, the newest first."""
        return -self._bought[stock_code][-1], stock_code

    def _first_cause(self, one: R) -> Cause | None:
        return next(self._causes(one), None)

    def _causes(self, one: R) -> Iterator[Cause]:
        """Everything that forbids an item, in order."""
        code = one.stock_code
        if code in self._exclude:
            yield Cause(REQUEST, "exclude")
        if self._wanted is not None and not self._wanted(code):
            yield Cause(REQUEST, "filter")
        facts = self._in_force.facts(code)
        if facts.forbidden is not None:
            yield facts.forbidden
        for index, rule in self._plan.hard:
            if index in facts.matching and self._forbids(rule, one):
                yield Cause(kind_of(rule), rule.name)

    def _forbids(self, rule: HardRule, one: R) -> bool:
        match rule:
            case Exclude():
                return True
            case LeastProbability():
                return one.probability < rule.probability
            case Only():
                return (one.stock_code in self._bought) != (rule.slot == "replenish")
            case Cooldown():
                dates = self._bought.get(one.stock_code)
                return dates is not None and self._in_force.now < cooldown_end(dates, rule)

    @property
    def _bought(self) -> dict[str, list[int]]:
        """Stock code to the dates of its purchases, oldest first; returned or not."""
        if self._purchases is None:
            self._purchases = {}
            for invoice in self._history.invoices:
                for code in {line.stock_code for line in invoice.lines if line.quantity > 0}:
                    self._purchases.setdefault(code, []).append(invoice.date)
        return self._purchases

    def _note(self, cause: Cause, stock_code: str) -> None:
        self._acted.setdefault(cause, {})[stock_code] = None


def cooldown_end(dates: Sequence[int], rule: Cooldown) -> int:
    """The date from which an item that was bought at ``dates`` (oldest first) may be recommended again."""
    if rule.until_due and len(dates) > 1:
        return dates[-1] + int(median(later - earlier for earlier, later in pairwise(dates)))
    return dates[-1] + (rule.days or 0) * DAY
