"""The page of a real server over a store in memory, on a port of this machine."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from confluent_kafka import Producer

from state.domain.catalogue import Catalogue
from state.domain.rules import CompiledRules, Merchandising
from state.events.catalogue import CatalogueItem
from state.events.rules import decode_rules
from stream.api.app import create_app
from stream.api.feed import Feed
from stream.kafka.topics import ensure_topics
from tests.unit.api.shop import Shop

RULES = {
    "version": 3,
    "rules": [
        {"kind": "exclude", "name": "no lamps in France", "items": {"stock_codes": ["LAMP"]},
         "customers": {"attributes": {"country": ["France"]}}},
        {"kind": "boost", "name": "drinks first", "factor": 1.5, "items": {"categories": ["Drinks"]}, "enabled": False},
    ],
}  # fmt: skip
CATALOGUE = {
    "TEA": CatalogueItem("TEA", "Tea", ("Drinks", "Hot"), 3.5, 12.0),
    "MAT": CatalogueItem("MAT", "Mat", ("Home",), 20.0, 0.0),
    "CUP": CatalogueItem("CUP", "A cup with a very long name " * 4, ("Kitchen", "Cups"), 5.0, blocked=True),
}


class Site:
    """A server that runs; ``url`` is its address."""

    def __init__(self, shop: Shop, url: str) -> None:
        self.shop = shop
        self.url = url

    def publish(self, customer_id: str, **changes: object) -> None:
        """Publish a recommendation to the live feed."""
        one = {
            "rec_id": "1",
            "customer_id": customer_id,
            "generated_at": "2011-12-09T12:50:00Z",
            "next_purchase": {"median": "2011-12-20"},
            "items": [{"stock_code": "TEA", "probability": 0.25}],
            **changes,
        }
        producer = Producer({"bootstrap.servers": ",".join(self.shop.settings.brokers)})
        producer.produce(self.shop.settings.topics.recommendations, json.dumps(one), customer_id)
        assert producer.flush(10) == 0


def fill(shop: Shop) -> None:
    """Rules and a catalogue."""
    rules = CompiledRules(decode_rules(json.dumps(RULES).encode()))
    shop.merchandising = Merchandising(Catalogue(CATALOGUE), rules)


@contextmanager
def serve(shop: Shop) -> Iterator[Site]:
    """Serve the API of a shop, and its live feed where a broker is set."""
    services = shop.services()
    if shop.settings.brokers:
        ensure_topics(shop.settings)
        services = services._replace(feed=Feed(shop.settings, shop.metrics))
        assert services.feed is not None
        services.feed.start()
    batchers = (services.ranking, services.revisions, services.lookups, services.due, services.ingestion)
    for batcher in batchers:
        batcher.start()
    config = uvicorn.Config(
        create_app(services), port=0, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="site")
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Site(shop, f"http://localhost:{port}")
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        for batcher in batchers:
            batcher.stop()
        if services.feed is not None:
            services.feed.stop()
