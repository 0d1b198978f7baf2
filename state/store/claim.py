"""Claim: makes sure that the histories of a store are written in one dialect."""

import logging

from state.errors import DialectDiffers
from state.events.shop_dialect import ShopDialect, in_words, make_dialect, require_dialect, zone_note
from state.store.protocol import Store

logger = logging.getLogger(__name__)

_WRITTEN = "The histories in Redis were written"
_OTHERWISE = (
    "give this shop another NEXTBASKET_NAMESPACE, or stop the workers, delete the keys of this namespace and send the "
    "events again (docs/how-to/back-up-and-rebuild.md)"
)
_SHOWN = 5
"""Stock codes that a message names."""


def claim_store(store: Store, dialect: ShopDialect) -> None:
    """Record the dialect in a store that has none recorded, and make sure that the recorded one is the same.

    A store that was filled before dialects were recorded is adopted, unless it holds what this dialect leaves out.

    Raises:
        DialectDiffers: The histories are written in another.
        StoreUnavailable, StoreRefused: The store does not answer, or refuses.
    """
    recorded = store.dialect()
    if recorded is None:
        adopted = store.now() is not None
        if adopted:
            _require_products(store, dialect)
        recorded = store.record_dialect(dialect)
        if adopted and recorded == dialect:
            logger.warning(
                "Redis has no record of the dialect in which its histories were written. From now on they count as "
                "written %s; if that is wrong, stop the workers and rebuild Redis "
                "(docs/how-to/back-up-and-rebuild.md).",
                in_words(dialect),
            )
    require_store_dialect(recorded, dialect)
    if note := zone_note(recorded, dialect, made=_WRITTEN):
        logger.warning(note)


def _require_products(store: Store, dialect: ShopDialect) -> None:
    """Make sure that all items of a store are products of a dialect, as it writes them.

    Raises:
        DialectDiffers: One is not.
    """
    functions = make_dialect(dialect)
    codes = store.items().states
    others = sorted(code for code in codes if functions.stock_code(code) != code or not functions.is_product(code))
    if others:
        more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
        raise DialectDiffers(
            f"Redis has no record of the dialect in which its histories were written, but they hold {len(others):,} of "
            f"{len(codes):,} stock codes that are none {in_words(dialect)}: {', '.join(others[:_SHOWN])}{more}. Set "
            f"NEXTBASKET_DIALECT and NEXTBASKET_UNSELLABLE_CODES as they were set then, or {_OTHERWISE}."
        )


def require_store_dialect(recorded: ShopDialect | None, dialect: ShopDialect) -> None:
    """Make sure that the histories of a store are not written in another dialect; None: nothing is known.

    Raises:
        DialectDiffers: They are.
    """
    if recorded is not None:
        require_dialect(recorded, dialect, made=_WRITTEN, otherwise=_OTHERWISE)
