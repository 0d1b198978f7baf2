"""Invoice rules: the settings that decide what the lines of an invoice mean, in words for people and for comparing.

A bundle and a store record the rules that they were made by. A process with other rules would count postage as a
product, or a cancellation as a sale, so it refuses them.
"""

import msgspec

from state.errors import RulesDiffer
from state.events.dialect import Dialect, dialect_named
from state.settings import Settings


class InvoiceRules(msgspec.Struct, frozen=True, kw_only=True):
    """The dialect, the stock codes that cannot be sold, and the zone of dates that name none."""

    dialect: str
    unsellable_codes: tuple[str, ...] = ()
    timezone: str = "UTC"


def invoice_rules(settings: Settings, dialect: str | None = None) -> InvoiceRules:
    """The rules of the settings; ``dialect`` where that of a table is another."""
    return InvoiceRules(
        dialect=dialect or settings.dialect,
        unsellable_codes=settings.unsellable_patterns,
        timezone=settings.timezone,
    )


def make_dialect(rules: InvoiceRules) -> Dialect:
    """The dialect of the rules, in which the codes that cannot be sold are no products."""
    return dialect_named(rules.dialect, rules.unsellable_codes)


def require_rules(theirs: InvoiceRules, ours: InvoiceRules, *, made: str, otherwise: str) -> None:
    """Make sure that something was made by the rules of this process.

    The zone may differ, because it matters only for dates that name none: see ``zone_note``.

    Args:
        theirs: The rules that it was made by.
        ours: The rules of this process.
        made: What was made and how, such as "Model 1 was trained".
        otherwise: What to do other than to change the settings, such as "promote another model".

    Raises:
        RulesDiffer: It was not; the message has both rules and the settings to change.
    """
    names = theirs.dialect != ours.dialect
    codes = theirs.unsellable_codes != ours.unsellable_codes
    if not names and not codes:
        return
    settings = []
    if names:
        settings.append(f"set NEXTBASKET_DIALECT={theirs.dialect}")
    if codes and theirs.unsellable_codes:
        settings.append(f"set NEXTBASKET_UNSELLABLE_CODES={','.join(theirs.unsellable_codes)}")
    elif codes:
        settings.append("leave out NEXTBASKET_UNSELLABLE_CODES")
    changes = " and ".join(settings)
    raise RulesDiffer(
        f"{made} {in_words(theirs, name_absence=codes)}, and this process reads invoices "
        f"{in_words(ours, name_absence=codes)}. "
        f"{changes[:1].upper()}{changes[1:]}, or {otherwise}."
    )


def in_words(rules: InvoiceRules, *, name_absence: bool = False) -> str:
    """The rules but the zone as a part of a sentence; ``name_absence``: also that no codes are unsellable."""
    words = f"in the dialect {rules.dialect}"
    if rules.unsellable_codes:
        return f"{words} with the unsellable codes {','.join(rules.unsellable_codes)}"
    return f"{words} without unsellable codes" if name_absence else words


def zone_note(theirs: InvoiceRules, ours: InvoiceRules, *, made: str) -> str | None:
    """A sentence where dates that name no zone were read in another; None where the zones are the same."""
    if theirs.timezone == ours.timezone:
        return None
    return (
        f"{made} with dates that name no zone in {theirs.timezone}, and this process reads them in {ours.timezone}. "
        f"Set NEXTBASKET_TIMEZONE={theirs.timezone}, unless all dates name their zone."
    )
