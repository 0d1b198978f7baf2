"""Customers of a table in Redis, copied until there are enough."""

from redis import Redis

from bench.stream.workload import workload
from state.events.shop_dialect import shop_dialect
from state.settings import Settings
from state.store.claim import claim_store
from state.store.redis.layout import Keys
from state.store.redis.store import RedisStore


def fill(settings: Settings, number: int) -> list[str]:
    """Write the histories of the table, and copies of them until there are enough; returns the customers."""
    data = workload(settings, stored=10**9, sent=0)
    store = RedisStore(settings)
    claim_store(store, shop_dialect(settings))
    for start in range(0, len(data.stored), 500):
        store.apply(data.stored[start : start + 500], clock_ms=1)
    store.close()
    known = sorted({invoice.customer_id for invoice in data.stored if invoice.customer_id})
    customers = [f"{copy}-{customer}" for copy in range(-(-number // len(known))) for customer in known][:number]
    keys = Keys(settings.key_prefix)
    with Redis.from_url(settings.redis_url) as client, client.pipeline(transaction=False) as pipeline:
        for done, customer in enumerate(customers, 1):
            pipeline.copy(keys.history(customer.partition("-")[2]), keys.history(customer))
            if done % 5_000 == 0 or done == len(customers):
                pipeline.execute()
    print(f"{data.source}; {len(customers):,} customers in Redis", flush=True)
    return customers
