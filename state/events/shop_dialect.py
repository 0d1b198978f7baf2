"""The dialect of a shop: the settings that decide what the lines of an invoice mean, as bundles and stores record them.

A process with another dialect would count postage as a product, or a cancellation as a sale. So it refuses a bundle
that was trained in another, and histories that were written in another.
"""

import msgspec

from state.errors import DialectDiffers
from state.events.dialect import Dialect, dialect_named
from state.settings import Settings


class ShopDialect(msgspec.Struct, frozen=True, kw_only=True):
    """The name of the dialect, the stock codes that cannot be sold, and the zone of dates that name none."""

    name: str
    unsellable_codes: tuple[str, ...] = ()
    timezone: str = "UTC"


def shop_dialect(settings: Settings, name: str | None = None) -> ShopDialect:
    """The dialect of the settings; ``name`` where that of a table is another."""
    return ShopDialect(
        name=name or settings.dialect,
        unsellable_codes=settings.unsellable_patterns,
        timezone=settings.timezone,
    )


def make_dialect(dialect: ShopDialect) -> Dialect:
    """The functions of a shop's dialect, in which the codes that cannot be sold are no products."""
    return dialect_named(dialect.name, dialect.unsellable_codes)


def require_dialect(recorded: ShopDialect, configured: ShopDialect, *, made: str, otherwise: str) -> None:
    """Make sure that something was made in the dialect of this process.

    The zone may differ, because it matters only for dates that name none: see ``zone_note``.

    Args:
        recorded: The dialect that it was made in.
        configured: The dialect of this process.
        made: What was made and how, such as "Model 1 was trained".
        otherwise: What to do other than to change the settings, such as "promote another model".

    Raises:
        DialectDiffers: It was not; the message has both dialects and the settings to change.
    """
    names = recorded.name != configured.name
    codes = _in_one_case(recorded.unsellable_codes) != _in_one_case(configured.unsellable_codes)
    if not names and not codes:
        return
    settings = []
    if names:
        settings.append(f"set NEXTBASKET_DIALECT={recorded.name}")
    if codes and recorded.unsellable_codes:
        settings.append(f"set NEXTBASKET_UNSELLABLE_CODES={','.join(recorded.unsellable_codes)}")
    elif codes:
        settings.append("leave out NEXTBASKET_UNSELLABLE_CODES")
    changes = " and ".join(settings)
    raise DialectDiffers(
        f"{made} {in_words(recorded, name_absence=codes)}, and this process reads invoices "
        f"{in_words(configured, name_absence=codes)}. {changes[:1].upper()}{changes[1:]}, or {otherwise}."
    )


def _in_one_case(patterns: tuple[str, ...]) -> set[str]:
    """Patterns that match the same codes compare equal: they are matched in capitals or not."""
    return {pattern.casefold() for pattern in patterns}


def in_words(dialect: ShopDialect, *, name_absence: bool = False) -> str:
    """The dialect without its zone as a part of a sentence; ``name_absence``: also that no codes are unsellable."""
    words = f"in the dialect {dialect.name}"
    if dialect.unsellable_codes:
        return f"{words} with the unsellable codes {','.join(dialect.unsellable_codes)}"
    return f"{words} without unsellable codes" if name_absence else words


def zone_note(recorded: ShopDialect, configured: ShopDialect, *, made: str) -> str | None:
    """A sentence where dates that name no zone were read in another; None where the zones are the same."""
    if recorded.timezone == configured.timezone:
        return None
    return (
        f"{made} with dates that name no zone in {recorded.timezone}, and this process reads them in "
        f"{configured.timezone}. Set NEXTBASKET_TIMEZONE={recorded.timezone}, unless all dates name their zone."
    )
