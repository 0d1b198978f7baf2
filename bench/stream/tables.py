"""The tables of the benchmark, and its ratios."""

from collections.abc import Iterable, Mapping

from bench.stream.measure import Result
from bench.stream.steady import Steady

Ratio = tuple[str, float, str, bool]
"""A measured ratio: its name, its value, the target, whether it is met."""

BASELINE = "-baseline"
STAGES = ("fetch", "wait", "decode", "identify", "apply", "answer", "publish", "confirm", "commit")


def ratios(results: Mapping[str, Result]) -> list[Ratio]:
    """The ratios with targets whose variants were measured."""
    found: list[Ratio] = []
    for over, under, target in (("b", "a", 2.5), ("c", "a", 1.5), ("d", "f", 50.0)):
        if over in results and under in results:
            ratio = results[over].events_per_second / results[under].events_per_second
            found.append((f"({over}) over ({under})", ratio, f"at least {target:g}", ratio >= target))
    for letter in "cd":
        if (result := results.get(letter)) is None:
            continue
        if (fixed := result.fixed) is not None:
            found.append((f"({letter}) p50 at the fixed rate, ms", fixed.p50_ms, "at most 20", 0 < fixed.p50_ms <= 20))
            found.append((f"({letter}) p99 at the fixed rate, ms", fixed.p99_ms, "at most 60", 0 < fixed.p99_ms <= 60))
        if (half := result.half) is not None:
            found.append((f"({letter}) p99 at half capacity, ms", half.p99_ms, "at most 100", 0 < half.p99_ms <= 100))
        if (start := result.start) is not None:
            found.append((f"({letter}) first answer after, s", start.seconds, "at most 3", start.seconds <= 3))
            found.append(
                (f"({letter}) memory after its start, MB", start.memory_mb, "at most 200", start.memory_mb <= 200)
            )
        if (before := results.get(letter + BASELINE)) is not None:
            ratio = result.cpu_us / before.cpu_us
            found.append((f"({letter}) CPU an event of a flood / baseline", ratio, "below 1.2", ratio < 1.2))
            if result.fixed and before.fixed:
                ratio = result.fixed.cpu_us / before.fixed.cpu_us
                found.append((f"({letter}) CPU at the fixed rate / baseline", ratio, "below 1.2", ratio < 1.2))
                if before.fixed.p99_ms:
                    ratio = result.fixed.p99_ms / before.fixed.p99_ms
                    found.append((f"({letter}) p99 at the fixed rate / baseline", ratio, "below 1", ratio < 1))
            if before.capacity:
                ratio = result.capacity / before.capacity
                found.append((f"({letter}) capacity / baseline", ratio, "at least 1", ratio >= 1))
    return found


def show(results: Mapping[str, Result]) -> None:
    """Print the tables of floods, steady streams, stages, starts and ratios."""
    print(f"\n{'floods':62} {'events/s':>9} {'CPU µs':>8} {'answers':>8} {'MB':>5} {'load':>5}")
    for name, result in results.items():
        print(
            f"{_title(name, result):62} {result.events_per_second:9,.0f} {result.cpu_us:8,.0f} "
            f"{result.answers_per_event:8.2f} {result.memory_mb:5.0f} {result.load:5.1f}"
        )
    print(f"\n{'steady streams':62} {'events/s':>9} {'CPU µs':>8} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>8}")
    for name, result in results.items():
        for what, steady in _streams(result):
            print(
                f"{_title(name, result)[:38] + ', ' + what:62} {steady.rate:9,.0f} {steady.cpu_us:8,.0f} "
                f"{steady.p50_ms:8.1f} {steady.p99_ms:8.1f} {steady.p999_ms:8.1f}"
            )
        if result.capacity:
            print(f"{_title(name, result)[:38] + ', the most it holds':62} {result.capacity:9,.0f}")
    print("\nWhere an event's time goes in a steady stream, mean ms of a batch in each stage:")
    for name, result in results.items():
        for what, steady in _streams(result):
            if steady.stages:
                spent = "  ".join(
                    f"{stage} {steady.stages[stage][0] / steady.stages[stage][1] * 1000:.1f}"
                    for stage in STAGES
                    if stage in steady.stages
                )
                print(f"({name}) {what}: {spent}")
    for name, result in results.items():
        if (start := result.start) is not None:
            print(
                f"\n({name}) start: first answer after {start.seconds:.1f} s, {start.cpu_s:.1f} s of processor time, "
                f"{start.memory_mb:.0f} MB"
            )
    print()
    for name, value, target, met in ratios(results):
        print(f"{name:44} {value:9.2f}   target: {target:14} {'met' if met else 'NOT MET'}")


def _title(name: str, result: Result) -> str:
    return f"({name}) {result.title}"


def _streams(result: Result) -> Iterable[tuple[str, Steady]]:
    if result.fixed is not None:
        yield "at a fixed rate", result.fixed
    if result.half is not None:
        yield "at half capacity" if result.capacity else "at half of the flood", result.half
