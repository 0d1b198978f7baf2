"""Claim: makes sure that the histories of a store are written by one set of invoice rules."""

import logging

from state.events.invoice_rules import InvoiceRules, in_words, require_rules, zone_note
from state.store.protocol import Store

logger = logging.getLogger(__name__)

_WRITTEN = "The histories in Redis were written"


def claim_store(store: Store, rules: InvoiceRules) -> None:
    """Record the rules in a store that has none recorded, and make sure that those recorded are the same.

    Raises:
        RulesDiffer: The histories are written by other rules.
        StoreUnavailable, StoreRefused: The store does not answer, or refuses.
    """
    recorded = store.rules()
    if recorded is None:
        adopted = store.now() is not None
        recorded = store.record_rules(rules)
        if adopted and recorded == rules:
            logger.warning(
                "The histories in Redis do not say in which dialect they were written. From now on they count as "
                "written %s; if that is wrong, stop the workers and rebuild Redis "
                "(docs/how-to/back-up-and-rebuild.md).",
                in_words(rules),
            )
    require_store_rules(recorded, rules)
    if note := zone_note(recorded, rules, made=_WRITTEN):
        logger.warning(note)


def require_store_rules(recorded: InvoiceRules | None, rules: InvoiceRules) -> None:
    """Make sure that the histories of a store are not written by other rules; None: nothing is known.

    Raises:
        RulesDiffer: They are.
    """
    if recorded is not None:
        require_rules(
            recorded,
            rules,
            made=_WRITTEN,
            otherwise=(
                "give this shop another NEXTBASKET_NAMESPACE, or stop the workers, delete the keys of this namespace "
                "and send the events again (docs/how-to/back-up-and-rebuild.md)"
            ),
        )
