"""The longest call of a script that valid events can cause: huge invoices, dates that move, large attributes, windows.

    redis-server --port 6390 --save "" & python -m bench.hostile_state redis://localhost:6390

The Redis must be empty and is used by nothing else; its slow log is read. Each row is one step: wall time, processor
time of this process, number of calls of scripts and the longest of them. No call may take more than 50 ms on a machine
that does nothing else; on a busy one, give Redis a higher priority (``renice -n -20 -p PID``). With five invoices of
195,000 lines (the default of ``--lines``) it takes about a minute.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from bench.plain_errors import plain_errors
from state.events.invoice import Invoice, Line
from state.settings import Settings
from state.store.redis.store import RedisStore

CUSTOMERS = 5
LONGEST_MS = 50.0
CLOCK = 1_700_000_000_000
ATTRIBUTES = {f"k{number:02}" * 10: "v" * 250 for number in range(32)}


class Bench:
    """A Redis, and the longest call of a script so far."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._admin: Any = redis.Redis.from_url(url)
        if self._admin.dbsize():
            raise SystemExit("This Redis is not empty.")
        self._admin.config_set("slowlog-log-slower-than", 1_000)
        self._admin.config_set("slowlog-max-len", 10_000)
        self._clock = CLOCK
        self.longest = 0.0

    def store(self, **bounds: Any) -> RedisStore:
        """A store that has no customer in memory yet."""
        return RedisStore(Settings(redis_url=self._url, **bounds))

    def apply(self, store: RedisStore, *invoices: Invoice) -> None:
        """Apply invoices as one batch."""
        self._clock += 1
        store.apply(invoices, clock_ms=self._clock)

    def step(self, name: str, work: Callable[[], object]) -> None:
        """Do some work, and print what it cost."""
        self._admin.config_resetstat()
        self._admin.slowlog_reset()
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        calls = self._admin.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
        slow = [each["duration"] / 1_000 for each in self._admin.slowlog_get(10_000) if b"EVAL" in each["command"][:7]]
        longest = max(slow, default=1.0)
        self.longest = max(self.longest, longest)
        print(f"{name:<60} {wall:>8.2f} {cpu:>8.2f} {calls:>7,} {longest:>10.1f}", flush=True)


def lines(codes: Sequence[int], attributes: dict[str, str] | None = None) -> tuple[Line, ...]:
    """Purchase lines of some items."""
    return tuple(Line(f"{code:06}", 1_000, 1.0, "X" * 20, None, attributes or {}) for code in codes)


def run(bench: Bench, size: int) -> None:
    """All steps, with invoices of ``size`` lines."""
    store = bench.store()
    names = [f"customer {number}" for number in range(CUSTOMERS)]

    def fill() -> None:
        for name in names:
            for start in range(0, size, 10_000):
                codes = range(start, min(size, start + 10_000))
                bench.apply(store, Invoice("1", name, 100, lines(codes)))

    bench.step(f"{CUSTOMERS} invoices of {size:,} lines, 10,000 an event", fill)
    more = [Invoice("1", name, 100, lines([size + 1])) for name in names]
    bench.step("a line more, the customer in memory", lambda: bench.apply(store, more[-1]))
    store = bench.store()
    bench.step("a line more, the customer not in memory", lambda: bench.apply(store, more[0]))
    store = bench.store()
    bench.step("a line more for each of them in one batch", lambda: bench.apply(store, *more))
    corrected = Invoice("1", names[2], 100, (Line("000000", 1_000, 1.0, None, "id"),))
    bench.step("a line with an id", lambda: bench.apply(store, corrected))
    bench.step("an earlier date", lambda: bench.apply(store, Invoice("1", names[1], 50, lines([size + 2]))))

    def shares() -> None:
        for number in range(20):
            bench.apply(store, Invoice(str(number), "shares", 100, lines(range(900))))
        bench.apply(store, *(Invoice(str(number), "shares", 100, lines([size])) for number in range(20)))

    bench.step("a line more for each of 20 invoices of 900 items", shares)

    def attributes() -> None:
        for start in range(0, 2_000, 50):
            codes = range(start, start + 50)
            bench.apply(store, Invoice(f"a{start}", "attributes", 200, lines(codes, ATTRIBUTES)))

    bench.step("2,000 items with 32 attributes of 250 characters each", attributes)
    bench.step("their next sale", lambda: bench.apply(store, Invoice("z", "attributes", 300, lines(range(2_000)))))
    wide = bench.store(window=10_000)

    def fill_window() -> None:
        for start in range(0, 10_000, 1_000):
            numbers = range(start, start + 1_000)
            bench.apply(wide, *(Invoice(str(number), "window", number % 977, lines(range(3))) for number in numbers))

    bench.step("a window of 10,000 invoices", fill_window)
    bench.step("an invoice more", lambda: bench.apply(wide, Invoice("last", "window", 2_000, lines(range(3)))))
    narrow = bench.store()
    newest = Invoice("newest", "window", 2_000, lines(range(3)))
    bench.step("one event with a window of 100", lambda: bench.apply(narrow, newest))


def main() -> None:
    """Print one row a step, and fail where a call took too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--lines", type=int, default=195_000)
    arguments = parser.parse_args()
    bench = Bench(arguments.url)
    print(f"{'':<60} {'wall s':>8} {'CPU s':>8} {'calls':>7} {'longest ms':>10}")
    run(bench, arguments.lines)
    if bench.longest > LONGEST_MS:
        raise SystemExit(f"A call took {bench.longest:.0f} ms; at most {LONGEST_MS:.0f} ms are allowed.")


if __name__ == "__main__":
    with plain_errors():
        main()
