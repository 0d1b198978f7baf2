"""Stores invoices in Redis, with the code of the tree that the worker under test is of.

Run as ``python store_invoices.py FILE`` with the settings of the worker and the tree on ``PYTHONPATH``; the file has
the pickled invoices. It imports only what every tree has.
"""

import pickle
import sys
from pathlib import Path

from state.events.shop_dialect import shop_dialect
from state.settings import load_settings
from state.store.claim import claim_store
from state.store.redis.store import RedisStore
from stream.kafka.topics import ensure_topics


def main(path: str) -> None:
    """Create the topics, and apply the invoices in portions."""
    settings = load_settings()
    ensure_topics(settings)
    store = RedisStore(settings)
    claim_store(store, shop_dialect(settings))
    invoices = pickle.loads(Path(path).read_bytes())
    for start in range(0, len(invoices), 500):
        store.apply(invoices[start : start + 500], clock_ms=1)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1])
