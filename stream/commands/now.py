"""``nextbasket now``: the greatest date accepted, compared with the clocks, and set right."""

import time
from contextlib import closing
from typing import Annotated

import typer

from state.wording import count
from stream.cli.console import echo
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.threads import use_one_thread

SHOWN = 10


def now(
    set_right: Annotated[
        bool,
        typer.Option(
            "--set-right", help="Remove the invoices that are dated ahead of the clocks, and set the date back."
        ),
    ] = False,
) -> None:
    """Show the greatest date accepted so far, and what is dated ahead of the clocks of this machine and of Redis.

    Demand, and the chances of all customers, are as of that date. An invoice
    that was accepted while a clock was wrong moves it into the future.
    Needs NEXTBASKET_REDIS_URL. Reads all histories. Exit code 1 where
    something is ahead and was not set right.

    Example:
      nextbasket now
      nextbasket now --set-right
    """
    use_one_thread()
    from state.domain.clock import differing_clocks
    from state.events.dates import DAY, to_iso
    from state.settings import load_settings
    from state.store.redis.due_index import RedisDueIndex
    from state.store.redis.store import RedisStore
    from stream.tools.now import find_ahead, items_without

    settings = load_settings()
    with closing(RedisStore(settings)) as store:
        clock, server = time.time(), store.clock()
        if problem := differing_clocks(clock, server, settings.max_clock_difference_seconds):
            raise Failure(f"Nothing can be compared: {problem}.", ExitCode.SETTINGS)
        bound = int(min(clock, server or clock)) + settings.max_days_ahead * DAY
        ahead = find_ahead(store, bound)
        echo(f"Now is {'not known yet' if ahead.now is None else to_iso(ahead.now)}: the greatest date accepted.")
        echo(f"The clock of this machine shows {to_iso(int(clock))}; nothing may be dated after {to_iso(bound)}.")
        if not ahead or ahead.now is None:
            echo("Nothing is ahead.")
            return
        invoices = [f"{number} of customer {one}" for one, numbers in ahead.invoices.items() for number in numbers]
        more = f" and {len(invoices) - SHOWN:,} more" if len(invoices) > SHOWN else ""
        echo(
            f"Ahead: {count(len(invoices), 'invoice')} and {count(len(ahead.items), 'item')}. "
            + (f"Invoices: {', '.join(invoices[:SHOWN])}{more}." if invoices else "")
        )
        if not set_right:
            raise Failure("Repair it with nextbasket now --set-right, once the clocks are right.")
        items = items_without(store.histories(), ahead, bound, settings)
        for customer_id, numbers in ahead.invoices.items():
            store.forget_invoices(customer_id, numbers, clock_ms=int(clock * 1000))
        with closing(RedisDueIndex(settings)) as index:
            index.set_complete(False)
        store.set_now(bound if ahead.right is None else ahead.right, items)
        echo(
            f"Set right: now is {to_iso(bound if ahead.right is None else ahead.right)}; "
            f"{count(len(invoices), 'invoice')} removed, {count(len(items), 'item')} counted again."
        )
