"""Assumptions of a reader about a table, and how they are shown: "How this table was read"."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

HEADING = "How this table was read"


@dataclass(frozen=True)
class Assumption:
    """What a reader took for granted, because the table does not say it.

    Attributes:
        where: The file, sheet, column or line.
        what: What was assumed, a clause that follows ``where`` and a colon.
        cure: What to do where it is wrong, a clause that follows ``Otherwise:``.
        example: A cell that shows it.
        rows: Number of rows that it concerns; None where it concerns the whole of ``where``.
    """

    where: str
    what: str
    cure: str
    example: str = ""
    rows: int | None = None

    def sentence(self) -> str:
        """What was assumed, in one sentence, and its cure in another."""
        example = f", for example {self.example}" if self.example else ""
        rows = "" if self.rows is None else f" ({self.rows:,} {'row' if self.rows == 1 else 'rows'})"
        return f"{self.where}: {self.what}{example}{rows}. Otherwise: {self.cure}."

    def cells(self) -> list[str]:
        """The same for a table of a page, in the columns of ``HEADINGS``."""
        example = f", for example {self.example}" if self.example else ""
        return [self.where, f"{self.what}{example}", self.cure, "all" if self.rows is None else f"{self.rows:,}"]


HEADINGS = ["where", "what was assumed", "otherwise", "rows"]


class Reading(NamedTuple):
    """How a table was read: its dialect, the zone of dates that name none, and what was assumed."""

    dialect: str
    timezone: str
    assumptions: tuple[Assumption, ...]

    def lines(self) -> list[str]:
        """The heading, and a line for each assumption, as text for people."""
        first = f"{HEADING}: dialect {self.dialect}, zone {self.timezone}."
        return [first, *(f"- {assumption.sentence()}" for assumption in self.assumptions)]


def merge_assumptions(assumptions: Iterable[Assumption]) -> tuple[Assumption, ...]:
    """Assumptions of the parts of a table as those of the whole: equal ones are one, with the rows of all."""
    merged: dict[tuple[str, str, str], Assumption] = {}
    for each in assumptions:
        key = (each.where, each.what, each.cure)
        known = merged.get(key)
        if known is None:
            merged[key] = each
        elif known.rows is not None and each.rows is not None:
            merged[key] = replace(known, rows=known.rows + each.rows)
    return tuple(merged.values())


def of_column(name: str) -> str:
    """A column as assumptions call it."""
    return of_columns([name])


def of_columns(names: Iterable[str]) -> str:
    """Some columns as assumptions call them."""
    shown = [" ".join(name.split())[:40] for name in names]
    return f"{'columns' if len(shown) > 1 else 'column'} {', '.join(shown)}"
