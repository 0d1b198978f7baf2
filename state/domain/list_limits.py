"""The limits of one list while it is filled: caps, and the positions reserved for variety and promoted items."""

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from state.domain.rules import Cause, Plan, RulesInForce, kind_of
from state.events.rules import Cap, Promote, Variety


class _Quota(NamedTuple):
    """A number of positions that variety or promoted items need.

    ``number`` is the rule's index in the document. ``found`` are the groups, or the promoted items, that the list has
    so far.
    """

    number: int
    rule: Variety | Promote
    wanted: int
    found: set[object]


class ListLimits:
    """Counts the items of a list of at most ``k`` by the rules that limit it.

    ``is_bought``: whether the customer has bought a stock code.
    """

    def __init__(self, in_force: RulesInForce, plan: Plan, k: int, is_bought: Callable[[str], bool]) -> None:
        self._in_force = in_force
        self._is_bought = is_bought
        self._caps = plan.caps
        self._counts: dict[tuple[int, object], int] = {}
        self._quotas: list[_Quota] = []
        self._needed = 0
        """Positions that the quotas still need."""
        room = k
        for index, rule in plan.reserving:
            wanted = rule.least if isinstance(rule, Variety) else ceil(rule.share * k - 1e-9)
            wanted = min(wanted, room)  # of several, the first in the document have precedence
            room -= wanted
            self._needed += wanted
            self._quotas.append(_Quota(index, rule, wanted, set()))

    @property
    def promoted(self) -> list[str]:
        """The stock codes that promotions name."""
        named = [each.rule.items for each in self._quotas if isinstance(each.rule, Promote)]
        return [code for items in named if items is not None for code in items.stock_codes]

    def count(self, stock_code: str) -> list[Cause]:
        """Count an item of the list; returns the rules for whose quota it counts."""
        for key in self._groups(stock_code):
            self._counts[key] = self._counts.get(key, 0) + 1
        added = []
        for quota in self._quotas:
            member = self._member(quota, stock_code)
            if member is not None and member not in quota.found:
                if len(quota.found) < quota.wanted:
                    self._needed -= 1
                    added.append(Cause(kind_of(quota.rule), quota.rule.name))
                quota.found.add(member)
        return added

    def full_cap(self, stock_code: str) -> Cap | None:
        """The first cap that leaves no room for an item."""
        for number, group in self._groups(stock_code):
            cap = self._caps[number][1]
            if self._counts.get((number, group), 0) >= cap.most:
                return cap
        return None

    def fits(self, stock_code: str, room: int) -> bool:
        """Whether enough of ``room`` positions is left for the quotas when an item takes one."""
        needed = self._needed
        if needed < room:
            return True
        for quota in self._quotas:
            if len(quota.found) < quota.wanted:
                member = self._member(quota, stock_code)
                needed -= member is not None and member not in quota.found
        return needed < room

    def _groups(self, stock_code: str) -> list[tuple[int, object]]:
        """The caps that count an item, each as its index among the caps and the item's group."""
        if not self._caps:
            return []
        matching = self._in_force.facts(stock_code).matching
        return [
            (number, group)
            for number, (index, cap) in enumerate(self._caps)
            if index in matching and (group := self._in_force.group(cap, stock_code)) is not None
        ]

    def _member(self, quota: _Quota, stock_code: str) -> object:
        """What an item adds to a quota: its group, or itself where it is promoted; None where it adds nothing."""
        if quota.number not in self._in_force.facts(stock_code).matching:
            return None
        rule = quota.rule
        if isinstance(rule, Variety):
            return self._in_force.group(rule, stock_code)
        is_promoted = rule.slot is None or self._is_bought(stock_code) == (rule.slot == "replenish")
        return stock_code if is_promoted else None
