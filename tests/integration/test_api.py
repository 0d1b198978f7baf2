"""``nextbasket api`` as a process, on a real Redis and Kafka."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pytest

from state.events.wire import Decoder
from state.settings import Settings
from state.store.redis.store import RedisStore
from tests.integration.api_server import api_server
from tests.unit.api.shop import INVOICES
from tests.unit.stream.harness import CLOCK, invoice

PATH = "/v1/customers/anna/recommendations"


def apply(settings: Settings, *events: dict[str, object]) -> None:
    """Let the store take invoices, as a worker would."""
    decoder = Decoder(settings)
    invoices = [decoder.decode(msgspec.json.encode(event), now=int(CLOCK)) for event in events]
    with closing(RedisStore(settings)) as store:
        store.apply(invoices, clock_ms=int(CLOCK * 1000))


@pytest.fixture
def client(environment: dict[str, str], settings: Settings, tmp_path: Path) -> Iterator[httpx.Client]:
    apply(settings, *INVOICES)
    with api_server(environment, tmp_path / "api.log") as client:
        yield client


def test_a_list_is_ranked_from_the_live_history(client: httpx.Client, settings: Settings) -> None:
    first = client.get(PATH)
    assert first.status_code == 200, first.text
    assert [item["stock_code"] for item in first.json()["items"]][:2] == ["TEA", "CUP"]
    known = {"If-None-Match": first.headers["etag"]}
    assert client.get(PATH, headers=known).status_code == 304
    apply(settings, *[invoice(str(number), "anna", "2011-12-09T12:10:00Z", "MAT") for number in range(10, 15)])
    again = client.get(PATH, headers=known)
    assert again.status_code == 200
    assert again.json()["items"][0]["stock_code"] == "MAT"
    assert client.get("/readyz").json() == {"status": "ok"}
