"""``nextbasket refresh``: how far the refresh of recommendations is, and a request for one."""

import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.console import echo

if TYPE_CHECKING:
    from stream.pipeline.ports import RefreshProgress

INTERVAL_S = 0.5
SILENCE_S = 30.0
"""After so long without progress a hint is printed."""


def refresh(
    now: Annotated[
        bool, typer.Option("--now", help="Ask the workers for a refresh of all customers, and watch it.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="With --now: whether to wait for its end.")] = True,
) -> None:
    """Show how far the refresh of recommendations is; with --now ask the workers for one.

    Workers make lists again after a promotion, new rules, a change of the
    catalogue, and daily, and send those that differ. Ctrl-C ends only the
    watching. Needs NEXTBASKET_REDIS_URL.

    Example:
      nextbasket refresh
      nextbasket refresh --now
    """
    from state.errors import AccessRefused, StoreRefused
    from state.settings import load_settings
    from state.store.redis.refresh_progress import RedisRefreshProgress
    from stream.tools.refresh_status import describe, next_request, refresh_status

    settings = load_settings()
    with closing(RedisRefreshProgress(settings)) as progress:
        if not now:
            for line in describe(refresh_status(progress.load())):
                echo(line)
            return
        try:
            previous = progress.asked()
        except AccessRefused:
            raise
        except StoreRefused as error:  # the request replaces it
            echo(str(error), err=True)
            previous = ""
        request = next_request(datetime.now(UTC), previous)
        progress.ask(request)
        echo(f"Asked for a refresh of all customers ({request}).", err=True)
        if wait:
            watch(progress, request)


def watch(progress: "RefreshProgress", request: str) -> None:
    """Show the progress until every partition has reached the request."""
    from tqdm import tqdm

    from state.wording import count
    from stream.tools.refresh_status import refresh_status

    moved_at, last, hinted = time.monotonic(), (-1, -1), False
    with closing(tqdm(unit=" customers", desc="refreshing", disable=None)) as bar:
        while True:
            status = refresh_status(progress.load())
            waiting = status.waiting(request)
            finished = [
                shard.finished
                for partition, shard in status.shards.items()
                if partition not in waiting and shard.finished is not None
            ]
            ended = sum(each.customers for each in finished)
            bar.total = ended + status.total
            bar.set_postfix_str(f"{status.sent_for(request):,} sent", refresh=False)
            bar.update(ended + status.done - bar.n)
            if status.shards and not waiting:
                break
            if (state := (len(waiting), ended + status.done)) != last:
                last, moved_at = state, time.monotonic()
            elif not hinted and time.monotonic() - moved_at > SILENCE_S:
                hinted = True
                echo("Nothing moves: is a worker running, and has it loaded the promoted model?", err=True)
            time.sleep(INTERVAL_S)
    echo(f"{count(ended, 'customer')} refreshed, {status.sent_for(request):,} sent.")
