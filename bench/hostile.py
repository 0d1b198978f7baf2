"""Memory of the decoder and the processor under events that are made to fill it.

    python -m bench.hostile --events 1000000

Most events are short, and no text in them is ever repeated; one in a hundred has a text of nearly a megabyte: stock
codes, dates, ids, descriptions, countries, attributes, unknown fields. All are refused or have no customer, so that
nothing of them is to be stored. The growth of the process (resident set) is printed; it must stay within 50 MB. A
million events take about 80 seconds of processor time.
"""

import argparse
import gc
import logging
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psutil

from state.settings import Settings
from state.store.memory import MemoryStore
from stream.messages import Incoming
from stream.monitoring import Metrics
from stream.pipeline.outages import Outages
from stream.pipeline.processor import Processor
from stream.pipeline.retry import RetryPolicy
from training.serving.load import fallback_scorer

LONG = 990_000
BATCH = 16
MAX_GROWTH_MB = 50
DATE = "2011-12-09T12:50:00Z"

_encode = msgspec.json.Encoder().encode


def _text(rng: random.Random, length: int) -> str:
    """A text that was never seen before, of characters of four bytes each in memory."""
    start = f"{rng.getrandbits(64):x}"
    return start + "😀" * max(0, length - len(start))


def _event(**fields: Any) -> dict[str, Any]:
    line = {
        "stock_code": fields.pop("stock_code", "22613"),
        "quantity": 1,
        "unit_price": fields.pop("unit_price", 0.85),
        "description": fields.pop("description", None),
        "line_id": fields.pop("line_id", None),
        "attributes": fields.pop("item", {}),
    }
    return {"invoice_no": "1", "customer_id": None, "invoice_date": DATE, "lines": [line], **fields}


FIELDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "stock_code": lambda text: _event(stock_code=text),
    "invoice_date": lambda text: _event(invoice_date=text),
    "blank_date": lambda text: _event(invoice_date=" " * len(text) + DATE, invoice_no=text),
    "invoice_no": lambda text: _event(invoice_no=text),
    "customer_id": lambda text: _event(customer_id=text, invoice_date="never"),
    "line_id": lambda text: _event(line_id=text),
    "description": lambda text: _event(description=text),
    "country": lambda text: _event(country=text),
    "attributes": lambda text: _event(attributes={text[:60]: text, "key": text[:250]}),
    "customer": lambda text: _event(customer={"attributes": {text[:60]: text[:250]}}),
    "item": lambda text: _event(item={f"{text[:40]}{index}": text[:200] for index in range(8)}),
    "unknown": lambda text: _event(**{text: text[:10]}),
    "type": lambda text: _event(type=text),
}
"""What makes an event of a text, by the field that the text is in."""


def hostile_events(rng: random.Random, *, long_share: float = 0.01) -> Iterator[bytes]:
    """Events without end; a share of them has a text of nearly a megabyte (of characters of four bytes each)."""
    fields = list(FIELDS.values())
    while True:
        is_long = rng.random() < long_share
        text = _text(rng, LONG // 4 if is_long else rng.randint(10, 130))
        event = rng.choice(fields)(text)
        if rng.random() < 0.1:
            event["lines"][0]["unit_price"] = rng.random()
        yield _encode(event)


class _Forgetful:
    """A publisher that counts messages and forgets them."""

    def __init__(self) -> None:
        self.messages = 0

    def publish(self, messages: Any) -> None:
        self.messages += len(messages)

    def close(self) -> None:
        pass


class Sink:
    """A processor on a store in memory; what it publishes is counted and dropped."""

    def __init__(self) -> None:
        settings = Settings(max_event_bytes=4_000_000)
        metrics = Metrics()
        self._publisher = _Forgetful()
        self.store = MemoryStore(settings)
        self._processor = Processor(
            settings=settings,
            store=self.store,
            publisher=self._publisher,
            scorer=fallback_scorer,
            fallback=fallback_scorer(),
            retry=RetryPolicy(threading.Event(), random.Random(1), Outages(metrics.outage)),
            metrics=metrics,
        )
        self.offset = 0

    @property
    def published(self) -> int:
        """Messages published so far: the dead letters."""
        return self._publisher.messages

    def process(self, events: list[bytes]) -> None:
        """Process events as one batch."""
        records = [Incoming(event, None, "invoices", 0, self.offset + index) for index, event in enumerate(events)]
        self.offset += len(events)
        self._processor.process(records)


def feed(sink: Sink, events: Iterator[bytes], count: int) -> None:
    """Process a number of events in batches."""
    while count > 0:
        sink.process([next(events) for _ in range(min(BATCH, count))])
        count -= BATCH


def main() -> None:
    """Print the growth every tenth of the way, and fail where it is too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # the lines on dead letters
    process = psutil.Process()
    sink = Sink()
    events = hostile_events(random.Random(arguments.seed))
    feed(sink, events, 200)  # what is allocated once
    gc.collect()
    before = process.memory_info().rss
    grown = 0.0
    for _ in range(10):
        feed(sink, events, arguments.events // 10)
        gc.collect()
        grown = (process.memory_info().rss - before) / 2**20
        print(f"{sink.offset:>9,} events, {sink.published:,} dead letters: {grown:+.1f} MB", flush=True)
    if grown > MAX_GROWTH_MB:
        raise SystemExit(f"The process grew by {grown:.0f} MB; at most {MAX_GROWTH_MB} MB are allowed.")


if __name__ == "__main__":
    main()
