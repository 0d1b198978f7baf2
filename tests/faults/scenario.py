"""Runs a schedule of faults against a shop: events are sent, faults begin and end, then everything is checked."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.faults import checks
from tests.faults.offline import check_recommendations_offline
from tests.faults.schedule import Step
from tests.faults.shop import STALL_S, Mark, Shop
from tests.integration.storefront import Event, sloppy_events


def run_scenario(
    shop: Shop, steps: Sequence[Step], rng: random.Random, report: Callable[[str], None] = lambda line: None
) -> None:
    """Send the events of the storefront in as many portions as there are steps, and check everything after each.

    Raises:
        AssertionError, ServiceError: Something does not hold; the logs of the workers are in the shop's folder.
    """
    events = sloppy_events(shop.storefront, rng)
    portion = -(-len(events) // (len(steps) + 1))
    portions = [events[begin : begin + portion] for begin in range(0, len(events), portion)]
    shop.start()
    shop.send(portions[0], rng, 0.0)
    losses: list[str] = []
    with ThreadPoolExecutor(1) as sender:
        for step, some in zip(steps, portions[1:], strict=True):
            began = time.monotonic()
            expected = [pattern for fault in step.faults for pattern in fault.losses]
            mark = _take(shop, step, some, rng, sender)
            shop.require_no_loss_logged(mark, [*losses, *expected])
            losses = expected  # another worker may notice the same a few seconds later
            check_recommendations_offline(shop, rng)
            report(f"{time.monotonic() - began:6.1f} s  {step}")
    check_recommendations_offline(shop, rng, every=True)
    shop.lost = shop.lost._replace(recommendations={})
    checks.check_all(shop)
    assert set(shop.stop()) == {0}
    checks.check_logs(shop)


def _take(shop: Shop, step: Step, events: list[Event], rng: random.Random, sender: ThreadPoolExecutor) -> Mark:
    shop.wait_for_members()
    for fault in step.faults:
        fault.prepare(shop)
    mark = shop.mark([name for fault in step.faults for name in fault.counted])
    shop.hurry.clear()
    quiet = any(fault.quiet for fault in step.faults)
    # Half of the events are sent once all faults have begun, so that each meets work.
    before, during = ([], []) if quiet else (events[::2], events[1::2])
    sending = [sender.submit(shop.send, before, random.Random(rng.random()), max(step.begins_s))]
    began = time.monotonic()
    for when, fault in zip(step.begins_s, step.faults, strict=True):
        time.sleep(max(0.0, began + when - time.monotonic()))
        fault.begin(shop, rng)
    sending.append(sender.submit(shop.send, during, random.Random(rng.random()), max(step.ends_s) - max(step.begins_s)))
    for when, fault in sorted(zip(step.ends_s, step.faults, strict=True), key=lambda end: end[0]):
        time.sleep(max(0.0, began + when - time.monotonic()))
        if fault.noticed:
            shop.require_logged(fault.noticed, mark)
        fault.end(shop)
    shop.hurry.set()
    for each in sending:
        each.result(2 * STALL_S)
    if quiet:
        shop.send(events, rng, 0.0)
    shop.settle()
    for fault in step.faults:
        fault.after(shop, mark)
    checks.check_all(shop)
    return mark
