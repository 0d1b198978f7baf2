"""More workers and more Redis servers: processor time an event of a group, of Redis a line, and each node's share.

    python -m bench.scaling [--registry FOLDER] [--lines 40000] [--invoices 3000] [--workers 1 2 4]

Lines and whole invoices are written into a topic of eight partitions in one transaction, so that they are all there at
once, and one, two and four workers of one group drain it: first on one Redis, then on a Cluster of three nodes. Then
recorded script calls of workers are sent to one Redis by several processes, to see what it takes. Processor time is the
measure: on a machine with fewer cores than processes the clock shows the machine. Processor time too grows where
processes take each other's caches, so the largest group also drains the events "in turns": one worker runs at a time,
for half a second, while the others are stopped.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.plain_errors import plain_errors, positive
from bench.scaling.drain import STAGES, Drain, Load, drain
from bench.scaling.saturation import saturate, single_lines
from bench.scaling.servers import RedisServers
from bench.stream.workload import Workload, invoice_events, line_events, workload
from state.events.invoice import Invoice
from state.settings import load_settings
from tests.services.kafka import VERSION, KafkaServer
from tests.services.redis import version

STORED = 5_000
WARM_UP_INVOICES = 200
BALANCE, GROUP = 1.15, 1.10
"""Targets: of the busiest node over the mean, and of the processor time an event of a group over that of one worker."""


def loads(data: Workload, lines: int, invoices: int) -> dict[str, Load]:
    """What is drained, by name: lines one by one, and whole invoices."""
    warm, rest = data.sent[:WARM_UP_INVOICES], data.sent[WARM_UP_INVOICES:]
    found = {}
    if lines:
        events = list(line_events(rest))[:lines]
        found["lines"] = Load(data.stored, list(line_events(warm)), events, len(events))
    if invoices:
        whole = rest[:invoices]
        found["invoices"] = Load(
            data.stored,
            list(invoice_events(warm)),
            list(invoice_events(whole)),
            sum(len(invoice.lines) for invoice in whole),
        )
    return found


def show(where: str, what: str, found: Sequence[Drain]) -> None:
    """Print the table of a load on one kind of Redis."""
    first = found[0]
    print(f"\n{what} on {where}: {first.events:,} events, {first.lines:,} lines; processor time in µs")
    heads = ("workers", "events/s", "CPU/event", "ratio", "idle ms/s", "answers", "Redis/line", "ratio", "Kafka/event")
    print(" ".join(f"{head:>11}" for head in heads) + "  share of each worker")
    for one in found:
        cells = (
            f"{one.workers} in turns" if one.in_turns else f"{one.workers}",
            f"{one.events / one.seconds:,.0f}",
            f"{one.worker_us:,.0f}",
            f"{one.worker_us / first.worker_us:.2f}",
            f"{one.idle * 1000:.0f}",
            f"{one.answers / one.events:.2f}",
            f"{one.redis_us:.1f}",
            f"{one.redis_us / first.redis_us:.2f}",
            f"{one.kafka_cpu_s / one.events * 1e6:.0f}",
        )
        print(" ".join(f"{cell:>11}" for cell in cells) + "  " + " ".join(f"{share:.0%}" for share in one.shares))
    print(
        f"on Kafka's disk an event takes {first.event_bytes:,.0f} bytes, a recommendation with its scores "
        f"{first.answer_bytes:,.0f}"
    )
    print("µs an event in each stage, by the clock: ")
    for one in found:
        spent = "  ".join(f"{stage} {1000 * one.stages_ms[stage] / one.events:,.0f}" for stage in STAGES)
        print(f"{one.workers:>7} {spent}")
    if len(first.redis) > 1:
        print("share of each node: commands, processor time, bytes; busiest over mean")
        for one in found:
            rows = [[getattr(node, name) for node in one.redis] for name in ("commands", "cpu_s", "bytes")]
            print(
                f"{one.workers:>7} "
                + "; ".join(
                    " ".join(f"{each / max(sum(row), 1e-9):.0%}" for each in row) + f" ({busiest(row):.2f})"
                    for row in rows
                )
            )


def busiest(row: Sequence[float]) -> float:
    """The largest number over the mean."""
    return max(row) * len(row) / max(sum(row), 1e-9)


def verdicts(where: str, what: str, found: Sequence[Drain]) -> None:
    """Print what is promised of a group and of a Cluster, and whether it holds."""
    first, *others = found
    for one in others:
        if one.in_turns or one.workers == max(each.workers for each in found):
            name = f"{one.workers} workers{' in turns' if one.in_turns else ''}"
            verdict(f"{what}, {where}: CPU an event, {name} / {first.workers}", one.worker_us / first.worker_us, GROUP)
    last = max(found, key=lambda one: (one.workers, not one.in_turns))
    if len(last.redis) > 1:
        verdict(f"{what}, {where}: CPU of the busiest node / mean", busiest([n.cpu_s for n in last.redis]), BALANCE)


def verdict(name: str, ratio: float, most: float) -> None:
    """Print a ratio and its target."""
    print(f"{name:64} {ratio:6.2f}   target: at most {most:g}  {'met' if ratio <= most else 'NOT MET'}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--registry", type=Path, help="serve this registry's current model instead of training one")
    parser.add_argument("--lines", type=int, default=40_000, help="single lines to drain; 0: none")
    parser.add_argument("--invoices", type=int, default=3_000, help="whole invoices to drain; 0: none")
    parser.add_argument("--workers", type=positive, nargs="+", default=[1, 2, 4], help="sizes of the group")
    parser.add_argument(
        "--only", choices=("single", "cluster", "saturation"), nargs="+", default=["single", "cluster", "saturation"]
    )
    chosen = parser.parse_args(arguments)
    data = workload(load_settings(), stored=STORED, sent=8_000)
    print(f"data: {data.source}")
    print(
        f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print(f"Kafka {VERSION}, Redis {version()}", flush=True)
    results: dict[tuple[str, str], list[Drain]] = {}
    with ExitStack() as closes:
        folder = Path(closes.enter_context(tempfile.TemporaryDirectory(prefix="nextbasket-scaling-")))
        kinds = {"single": "one Redis", "cluster": "a Cluster of three"}
        asked = {kind: name for kind, name in kinds.items() if kind in chosen.only}
        if asked:
            model = chosen.registry or trained(folder / "model", len(data.sent))
            kafka = closes.enter_context(KafkaServer(optimise=True, heap_mb=768))
        for kind, where in asked.items():
            redis = closes.enter_context(RedisServers(folder / kind, cluster=kind == "cluster"))
            for what, load in loads(data, chosen.lines, chosen.invoices).items():
                found = results[where, what] = [
                    drain(folder, kafka, redis, model, data, load, number)[0] for number in chosen.workers
                ]
                most = max(chosen.workers)
                if kind == "single" and most > 1:
                    found.append(drain(folder, kafka, redis, model, data, load, most, turns=True)[0])
                show(where, what, found)
                sys.stdout.flush()
        if "saturation" in chosen.only:
            redis = closes.enter_context(RedisServers(folder / "saturated", cluster=False))
            saturated(redis, [invoice for invoice in data.sent if invoice.customer_id])
    print()
    for (where, what), found in results.items():
        verdicts(where, what, found)


def saturated(redis: RedisServers, invoices: Sequence[Invoice]) -> None:
    """Print what one Redis takes of commits alone."""
    print("\none Redis alone, recorded commits of four clients at once")
    heads = ("lines", "calls", "lines/s", "CPU µs/line", "core used", "lines/s a core")
    print(" " * 32 + " ".join(f"{head:>14}" for head in heads))
    for name, events, batch in (
        ("lines in batches of 512", single_lines(invoices[:2_000]), 512),
        ("lines in batches of 32", single_lines(invoices[:1_000]), 32),
        ("whole invoices in batches of 32", invoices[:4_000], 32),
    ):
        one = saturate(redis, name, events, batch)
        cells = (
            f"{one.lines:,}",
            f"{one.calls:,}",
            f"{one.lines / one.seconds:,.0f}",
            f"{one.cpu_s / one.lines * 1e6:.1f}",
            f"{one.cpu_s / one.seconds:.0%}",
            f"{one.lines_a_core:,.0f}",
        )
        print(f"{one.name:32}" + " ".join(f"{cell:>14}" for cell in cells), flush=True)


def trained(model: Path, sent: int) -> Path:
    """A registry with a model that was fitted on the invoices before those sent."""
    subprocess.run([sys.executable, "-m", "bench.stream.train_model", str(model), str(sent)], check=True)
    return model


if __name__ == "__main__":
    with plain_errors():
        main()
