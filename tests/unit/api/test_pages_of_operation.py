"""Dead letters and health on the page."""

import math

import pytest
from prometheus_client import generate_latest

from stream.api.figures import ProcessFigures, fetch_figures, quantile, read_figures
from stream.api.letters import LetterSummary, summarise
from stream.api.pages.dead_letters import MAX_SHOWN_BYTES, show_bytes
from stream.api.pages.health import describe_bound
from stream.errors import BrokerUnavailable
from stream.health import Health, serve_health
from stream.monitoring import Metrics
from stream.pipeline.refresh_plan import Finished, Shard, Target, Walk, encode_shard
from stream.tools.redrive import DeadLetter, RedriveCounts, RedriveResult
from tests.unit.api.shop import Shop
from tests.unit.api.test_pages import HOSTILE, ORIGIN, text, token

REASON = f"quantity cannot be taken {HOSTILE}"


def letter(offset: int, value: bytes | None, reason: str = REASON) -> DeadLetter:
    return DeadLetter(offset, b"anna", value, reason, "invoices", value is None, (3, offset + 100))


class Letters:
    """Dead letters in memory; those that are sent back are gone."""

    def __init__(self, *letters: DeadLetter) -> None:
        self.letters = list(letters)

    def summary(self) -> LetterSummary:
        return summarise((0, each) for each in self.letters)

    def redrive(self, reason: str) -> RedriveResult | None:
        sent = [each for each in self.letters if each.reason == reason]
        self.letters = [each for each in self.letters if each.reason != reason]
        return RedriveResult(RedriveCounts(len(sent), len(self.letters), 0), {}, {}, [])


async def test_dead_letters_are_shown_by_reason_with_their_bytes_and_sent_back() -> None:
    shop = Shop()
    shop.letters = box = Letters(letter(7, HOSTILE.encode()), letter(8, b"\xff\x00"), letter(9, b"{}", "other"))
    async with shop.client() as client:
        page = await client.get("/dead-letters")
        words = text(page)
        assert "3 letters, 2 reasons" in words
        assert "Letter 0:7" in words
        assert "From invoices, partition 3, offset 107" in words
        assert "ff 00" in words
        assert "<script>alert" not in page.text
        done = await client.post(
            "/dead-letters/redrive",
            data={"token": token(page), "reason": REASON},
            headers=ORIGIN,
            follow_redirects=True,
        )
        assert "2 letters sent back" in text(done)
        assert [each.reason for each in box.letters] == ["other"]
        box.letters = []
        assert "No dead letter waits." in text(await client.get("/dead-letters"))


async def test_a_redrive_needs_the_token() -> None:
    shop = Shop()
    shop.letters = box = Letters(letter(7, b"{}"))
    async with shop.client() as client:
        answer = await client.post("/dead-letters/redrive", data={"reason": REASON}, headers=ORIGIN)
    assert (answer.status_code, len(box.letters)) == (403, 1)


async def test_without_kafka_the_page_shows_it() -> None:
    async with Shop().client() as client:
        page = await client.get("/dead-letters")
    assert (page.status_code, "No Kafka is set" in text(page)) == (503, True)


async def test_kafka_away_is_a_page_with_the_cause() -> None:
    class Away(Letters):
        def summary(self) -> LetterSummary:
            raise BrokerUnavailable("Kafka does not answer")

    shop = Shop()
    shop.letters = Away()
    async with shop.client() as client:
        page = await client.get("/dead-letters")
    assert (page.status_code, "Kafka does not answer" in text(page)) == (503, True)


def test_a_summary_has_the_newest_letters_of_each_reason() -> None:
    found = summarise(((0, letter(number, b"", str(number % 2))) for number in range(30)), most=21)
    assert [(each.text, each.letters) for each in found.reasons] == [("0", 11), ("1", 10)]
    assert [each.offset for _, each in found.reasons[0].newest] == [20, 18, 16, 14, 12]
    assert (found.letters, found.complete) == (21, False)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(no value)"),
        (b"", ""),
        ("é".encode(), "é"),
        (b"\xe9", "e9"),
        (b"a\x1b[31m", "61 1b 5b 33 31 6d"),
        ("a\u202eb".encode(), "61 e2 80 ae 62"),
        (b"x" * (MAX_SHOWN_BYTES + 3), "x" * MAX_SHOWN_BYTES + " … and 3 more bytes"),
        ("é".encode() * MAX_SHOWN_BYTES, "é" * (MAX_SHOWN_BYTES // 2) + f" … and {MAX_SHOWN_BYTES:,} more bytes"),
    ],
)
def test_bytes_are_text_where_they_can_be_read(value: bytes | None, shown: str) -> None:
    assert show_bytes(value) == shown


async def test_health_shows_what_is_missing_the_lag_and_the_figures_of_workers() -> None:
    worker = Metrics()
    with worker.stage("predict"):
        pass
    worker.batch(12)
    worker.outage("Redis", 31.0)
    worker.model("basket_lstm", "v7")
    server = serve_health("127.0.0.1", 0, worker.registry, Health())
    try:
        shop = Shop(api_worker_metrics=f"127.0.0.1:{server.port}, 127.0.0.1:1")
        shop.health.add("Redis", lambda: f"no answer {HOSTILE}")
        shop.lag = lambda: {0: 4, 1: 0, 2: 1_000}
        async with shop.client() as client:
            page = await client.get("/health")
    finally:
        server.close()
    words = text(page)
    assert "Not ready. Redis: no answer" in words
    assert "<script>alert" not in page.text
    assert "1,004 events not yet processed: partition 0: 4, partition 2: 1,000." in words
    assert "Model basket_lstm v7 · 12 events, 0 dead letters" in words
    assert "Redis was unavailable for 31 s" in words
    assert "predict 1 ≤ 1 ms ≤ 1 ms" in words
    assert "127.0.0.1:1 Its metrics cannot be read" in words


async def test_health_shows_a_lag_that_is_not_known() -> None:
    def lag() -> dict[int, int]:
        raise BrokerUnavailable("The lag cannot be read: timed out")

    shop = Shop()
    shop.lag = lag
    async with shop.client() as client:
        assert "The lag cannot be read: timed out" in text(await client.get("/health"))
        shop.lag = dict
    async with shop.client() as client:
        assert "There is no topic of invoices yet." in text(await client.get("/health"))


async def test_health_shows_how_far_the_refresh_is() -> None:
    shop = Shop()
    async with shop.client() as client:
        assert "No worker has recorded a refresh yet" in text(await client.get("/health"))
        target = Target("m/2", "1:", "2011-12-09", "")
        walk = Walk("model", target, {}, 2, 0.0, position="c", total=1_200, done=600, sent=40)
        done = Shard(target, {}, None, Finished("daily", 1_323_435_000.0, 900, 7))
        shop.refresh = {0: encode_shard(Shard(target, {}, walk)), 1: encode_shard(done), 2: b"damaged"}
        words = text(await client.get("/health"))
    assert "Refreshing 1 partition of 2 (model): 600 of 1,200 customers, 40 sent." in words
    assert "Last of 1 partition: daily, ended 2011-12-09T12:50:00Z, 900 customers, 7 sent." in words


def test_figures_of_a_process_without_events() -> None:
    found = read_figures("api", generate_latest(Metrics().registry).decode())
    assert found._replace(outages=()) == ProcessFigures("api", events=0, dead_letters=0)
    assert {"Redis", "Kafka"} <= {service for service, _ in found.outages}
    assert not any(seconds for _, seconds in found.outages)


def test_how_long_somebody_follows_a_stream_is_no_latency() -> None:
    metrics = Metrics()
    for route in ("/v1/recommendations", "/v1/recommendations/stream", "/live/stream"):
        metrics.request(route, 200, 0.02)
    found = read_figures("api", generate_latest(metrics.registry).decode())
    assert [(each.name, each.times, each.p99) for each in found.latencies] == [("/v1/recommendations", 1, 0.025)]


def test_a_worker_that_answers_nonsense_is_a_problem() -> None:
    assert "cannot be read" in str(fetch_figures("127.0.0.1:99999").problem)


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    counts = {0.1: 50.0, 1.0: 98.0, math.inf: 100.0}
    assert [quantile(counts, share) for share in (0.5, 0.51, 0.98, 0.99)] == [0.1, 1.0, 1.0, math.inf]
    assert [describe_bound(each) for each in (0.1, 2.5, math.inf)] == ["≤ 100 ms", "≤ 2.5 s", "over 60 s"]
