"""Which customers are merged or erased, for requests that bring invoices."""

import logging
import time
from collections.abc import Callable, Sequence

from state.domain.identities import Identities
from state.errors import StateError
from state.store.identities import IdentityStore

logger = logging.getLogger(__name__)

PAUSE_S = 5.0
"""After an error the lists are not asked for so long, so that no request waits for a Redis that hangs."""


class KnownCustomers:
    """Looks customers up, in one thread. While the lists cannot be read nobody is known: the workers pass over then.

    Args:
        open_identities: Opens the lists; called again until it succeeds.
        clock: In seconds.
    """

    def __init__(
        self, open_identities: Callable[[], IdentityStore], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open = open_identities
        self._clock = clock
        self._identities: IdentityStore | None = None
        self._paused_until = float("-inf")
        self._reason = ""

    def lookup(self, customer_ids: Sequence[str]) -> Identities:
        """What concerns some customers."""
        if not customer_ids or self._clock() < self._paused_until:
            return Identities()
        try:
            if self._identities is None:
                self._identities = self._open()
            found = self._identities.lookup(customer_ids)
        except StateError as error:
            self._paused_until = self._clock() + PAUSE_S
            if str(error) != self._reason:
                self._reason = str(error)
                logger.warning("Invoices of erased customers are sent, and passed over by the workers: %s", error)
            return Identities()
        self._reason = ""
        return found or Identities()
