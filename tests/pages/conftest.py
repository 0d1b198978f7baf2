"""One Chromium and two shops for all tests of the page."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from state.store.memory import MemoryStore
from stream.api.keys import NewKey, Scope, new_key
from stream.kafka.config import EMBEDDED_API_VERSION
from stream.tools.embedded import embedded_kafka
from tests.pages.site import Site, fill, serve
from tests.report.browser import CHROMIUM
from tests.unit.api.shop import Shop
from tests.unit.api.test_merchandising import FollowedPublisher
from tests.unit.api.test_pages import HOSTILE, registry
from tests.unit.api.test_pages_of_operation import Letters, letter

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCREENSHOTS = Path(__file__).parents[2] / "build" / "pages"


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A shop with something of everything, without keys."""
    with embedded_kafka() as brokers:
        shop = Shop(kafka_brokers=brokers, kafka_api_version=EMBEDDED_API_VERSION, api_worker_metrics="127.0.0.1:1")
        shop.publisher = FollowedPublisher(shop)
        shop.registry = registry(tmp_path, "basket_lstm", "two_tower")
        shop.letters = Letters(letter(7, HOSTILE.encode()), letter(8, b"\xff\x00", "The event is not UTF-8."))
        shop.lag = lambda: {0: 4, 1: 0}
        fill(shop)
        with serve(shop) as running:
            yield running


@pytest.fixture
def empty_site() -> Iterator[Site]:
    """A shop in which nothing happened yet, and no Kafka is set."""
    shop = Shop()
    shop.store = MemoryStore(shop.settings)
    shop.letters = Letters()
    shop.lag = dict
    with serve(shop) as running:
        yield running


@pytest.fixture
def operator() -> NewKey:
    """A key with every scope."""
    return new_key("operator", [Scope.ADMIN])


@pytest.fixture
def locked_site(operator: NewKey) -> Iterator[Site]:
    """A shop with keys."""
    shop = Shop(api_keys=operator.line)
    with serve(shop) as running:
        yield running
