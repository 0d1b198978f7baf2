"""Which faults follow each other, which overlap, when they begin and how long they last: drawn from a seed."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.faults.kinds.fault import Fault


class Step(NamedTuple):
    """Faults that overlap, each with its beginning and end in seconds after the step's first events were sent."""

    faults: tuple[Fault, ...]
    begins_s: tuple[float, ...]
    ends_s: tuple[float, ...]

    def __str__(self) -> str:
        return " + ".join(
            f"{fault.name} ({begin:.1f} s to {end:.1f} s)"
            for fault, begin, end in zip(self.faults, self.begins_s, self.ends_s, strict=True)
        )


def schedule(kinds: Sequence[type[Fault]], rng: random.Random, *, faults: int = 1) -> list[Step]:
    """Each kind once and, where more faults are wanted, again and again, in random order; different parts overlap.

    Kinds that must be last come once, at the end.
    """
    steps: list[Step] = []
    last = [kind for kind in kinds if kind.last]
    again = [kind for kind in kinds if not kind.last]
    wanted = max(faults, len(kinds)) - len(last) if again else 0
    for begin in range(0, wanted, len(again) or 1):
        drawn = [kind() for kind in again]
        rng.shuffle(drawn)
        steps += [_step(some, rng) for some in _overlapping(drawn[: wanted - begin])]
    return steps + [_step((kind(),), rng) for kind in last]


def _overlapping(faults: Sequence[Fault]) -> Iterator[tuple[Fault, ...]]:
    """Pairs of different parts, as far as there are any."""
    waiting = list(faults)
    while waiting:
        first = waiting.pop(0)
        others = [one for one in waiting if _may_overlap(first, one)]
        if not others:
            yield (first,)
            continue
        waiting.remove(others[0])
        yield first, others[0]


def _may_overlap(one: Fault, other: Fault) -> bool:
    return (
        not (one.alone or other.alone)
        and one.part != other.part
        and one.part not in other.needs
        and other.part not in one.needs
    )


def _step(faults: tuple[Fault, ...], rng: random.Random) -> Step:
    begins, ends = [], []
    begin = 0.0
    for fault in faults:
        begin += rng.uniform(0.3, 1.5)
        begins.append(begin)
        ends.append(begin + rng.uniform(*fault.hold_s))
    return Step(faults, tuple(begins), tuple(ends))


def describe(kinds: Mapping[str, Sequence[type[Fault]]]) -> str:
    """A line for each fault: its name, what it does, and where not every kind of Redis has it, which ones do."""
    found = {kind.name: kind for some in kinds.values() for kind in some}
    lines = []
    for name, kind in found.items():
        having = [redis for redis, some in kinds.items() if kind in some]
        only = "" if len(having) == len(kinds) else f" ({', '.join(having)})"
        lines.append(f"  {name:<18} {str(kind.__doc__).splitlines()[0]}{only}")
    return "\n".join(lines)


def selected(kinds: Collection[type[Fault]], only: str) -> list[type[Fault]]:
    """The kinds whose names are in a list separated by commas, or all of them.

    Raises:
        ValueError: One is unknown.
    """
    by_name = {kind.name: kind for kind in kinds}
    if not only:
        return list(kinds)
    names = only.split(",")
    if unknown := sorted(set(names) - set(by_name)):
        raise ValueError(f"no fault is called {', '.join(unknown)}; there are {', '.join(sorted(by_name))}")
    return [by_name[name] for name in names]
